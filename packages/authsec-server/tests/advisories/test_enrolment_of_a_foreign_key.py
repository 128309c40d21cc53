"""Somebody with a code registers the public key of another machine, which they do not hold.

What that machine signs for its own agent would count for theirs too, and the audit log could not tell them apart. So
whoever brings a key shows that its private half is there: now, for this code, this client and this authority.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import sign_compact
from laptops import US, Laptop, code_for, pod_of

SPOILT: dict[str, dict[str, Any]] = {
    "another client": {"iss": "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"},
    "another authority": {"aud": "https://elsewhere.example"},
    "several audiences": {"aud": [US, "https://elsewhere.example"]},
    "another code": {"code_sha256": "0" * 64},
    "no code": {"code_sha256": None},
    "no end": {"exp": None},
    "an end in words": {"exp": "2026-11-25T12:01:00Z"},
    "no beginning": {"iat": None},
}


@pytest.fixture
def its(house: Callable[..., Any]) -> Any:
    """An authority at whose machine we sit."""
    return house(local_operator=True)


def test_a_key_that_is_not_here_is_not_enrolled(its: Any) -> None:
    pod = pod_of(its)
    code, thief, victim = code_for(its, pod), Laptop(its), Laptop(its)
    theirs = victim.key.public.to_pem().decode()
    forged = {
        "signed by the thief": thief.possession(pod, code),
        "unsigned": thief.possession(pod, code).rpartition(".")[0] + ".",
        "nothing": "",
        "an old one of the victim": victim.possession(pod, code_for(its, pod)),
    }
    for name, possession in forged.items():
        answer = thief.enrols(pod, code, public_key=theirs, possession=possession)
        assert (name, answer.status_code, answer.json()["field"]) == (name, 400, "possession")
    assert thief.enrols(pod, code).status_code == 201


@pytest.mark.parametrize("claims", SPOILT.values(), ids=SPOILT)
def test_it_is_shown_for_this_and_nothing_else(its: Any, claims: dict[str, Any]) -> None:
    pod = pod_of(its)
    code, laptop = code_for(its, pod), Laptop(its)
    answer = laptop.enrols(pod, code, possession=laptop.possession(pod, code, **claims))
    assert (answer.status_code, answer.json()["field"]) == (400, "possession")


def test_what_is_signed_for_one_purpose_serves_no_other(its: Any) -> None:
    """An agent's assertion shows no possession, and what shows possession gets no token (RFC 8725 section 3.11)."""
    pod = pod_of(its)
    code, laptop = code_for(its, pod), Laptop(its)
    for typ in ("client-authentication+jwt", "JWT", None):
        header = {} if typ is None else {"typ": typ}
        assert laptop.enrols(pod, code, possession=laptop.possession(pod, code, header)).status_code == 400
    assert laptop.enrols(pod, code).status_code == 201
    now = int(laptop.now.timestamp())
    claims = {"iss": pod, "sub": pod, "aud": US, "iat": now, "exp": now + 60, "jti": "1", "code_sha256": "0" * 64}
    shown = sign_compact({"typ": "authsec-enrolment+jwt"}, claims, laptop.key)
    asked = its.door().get(
        "/authsec/uflow/sdk/delegation-token",
        params={"client_id": pod},
        headers={"Authorization": f"Bearer {shown}"},
    )
    assert asked.json()["reason"] == "attestation_invalid"


def test_a_key_that_is_some_clients_already_is_not_anothers(its: Any) -> None:
    first, second = pod_of(its, "First"), pod_of(its, "Second")
    laptop = Laptop(its)
    assert laptop.enrols(first, code_for(its, first)).status_code == 201
    taken = laptop.enrols(second, code_for(its, second))
    assert (taken.status_code, taken.json()["reason"]) == (409, "conflict")
    assert laptop.asks(second).status_code == 401
