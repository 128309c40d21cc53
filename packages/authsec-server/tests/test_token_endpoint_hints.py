"""Two mistakes of people who build the request themselves: the answer and the audit log name each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import PrivateKey, assemble, signing_input
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from token_endpoint import PRIVATE_KEY_JWT, asserted, by_assertion, by_grant

API = "/authsec/api/v1"
KEY = PrivateKey.generate_ec()
UNKNOWN = "00000000-0000-4000-8000-000000000000"

House = Any


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    return house(local_operator=True)


def der_signed(key: PrivateKey, name: str, now: Any) -> str:
    """An assertion with the signature that `openssl dgst -sign` writes."""
    unsigned, _, _ = asserted(key, name, now).rpartition(".")
    raw = key.sign(unsigned.encode())
    half = len(raw) // 2
    der = encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
    return assemble(unsigned.encode(), der)


def refused(its: House) -> list[dict[str, Any]]:
    """The stories of the refusals, the newest first."""
    door, events = its.door(), [each for each in its.events() if each.event.kind == "token.refused"]
    return [door.get(f"{API}/events/{each.id}").json()["items"][0] for each in events]


@pytest.mark.parametrize(("curve", "octets"), [("P-256", 64), ("P-384", 96), ("P-521", 132)])
def test_a_signature_in_the_der_form_is_called_so(its: House, curve: str, octets: int) -> None:
    key = PrivateKey.generate_ec(curve)
    agent = its.delegated_agent("Night Owl", key=key)
    door, now = its.door(), its.clock.now()
    answers = [
        by_assertion(door, der_signed(key, name, now)) for name in ("night-owl", agent.client_id, "no-agent", UNKNOWN)
    ]
    assert {answer.status_code for answer in answers} == {401}
    (details,) = {answer.json()["details"] for answer in answers}
    assert details.startswith(
        f"The signature of {key.algorithm} must have {octets} octets, R and S (RFC 7518 section 3.4)."
    )
    assert "DER form" in details
    assert "registered" not in details
    told = refused(its)
    of_agent = [each for each in told if each["event"]["client"]]
    assert len(of_agent) == 1, "equal refusals of a minute are one event"
    assert "DER form" in of_agent[0]["event"]["detail"]["failed"]
    assert "convert the signature to R and S" in of_agent[0]["remedy"]["text"]
    page = door.get(f"/console/activity/{of_agent[0]['event']['id']}").text
    assert "DER form" in page
    assert "not registered" not in page


@pytest.mark.parametrize("octets", [9, 63, 130])
def test_a_signature_of_a_wrong_length_is_called_so(its: House, octets: int) -> None:
    agent = its.delegated_agent("Night Owl", key=KEY)
    door, now = its.door(), its.clock.now()
    names = ("night-owl", agent.client_id, "no-agent")
    unsigned = [asserted(KEY, name, now).rpartition(".")[0].encode() for name in names]
    answers = [by_assertion(door, assemble(each, b"x" * octets)) for each in unsigned]
    (details,) = {answer.json()["details"] for answer in answers}
    assert f"must have 64 octets, R and S (RFC 7518 section 3.4). This one has {octets}." in details
    story = next(each for each in refused(its) if each["event"]["client"])
    assert f"This one has {octets}." in story["event"]["detail"]["failed"]
    assert "not R and S of the full length" in story["remedy"]["text"]


def test_a_signature_of_the_right_length_is_not_called_der_whatever_it_begins_with(its: House) -> None:
    """R begins like a DER signature of 64 octets once in some 30,000 times."""
    its.delegated_agent("Night Owl", key=KEY)
    unsigned = asserted(KEY, "night-owl", its.clock.now()).rpartition(".")[0].encode()
    for beginning in (b"0>", b"0\x81"):
        answer = by_assertion(its.door(), assemble(unsigned, beginning + b"x" * 62))
        assert "DER" not in answer.json()["details"]


def test_another_key_has_the_answer_of_before(its: House) -> None:
    its.delegated_agent("Night Owl", key=KEY)
    answer = by_assertion(its.door(), asserted(PrivateKey.generate_ec(), "night-owl", its.clock.now()))
    assert "DER" not in answer.json()["details"]
    (story,) = refused(its)
    assert "not signed with a valid registered key" in story["event"]["detail"]["failed"]


def test_an_assertion_of_a_client_as_the_grant_is_called_so(its: House) -> None:
    agent = its.delegated_agent("Night Owl", key=KEY)
    door, now = its.door(), its.clock.now()
    names = ("night-owl", agent.client_id, "no-agent", UNKNOWN)
    answers = [by_grant(door, asserted(KEY, name, now)) for name in names]
    answers.append(by_grant(door, asserted(KEY, agent.client_id, now), client_id=agent.client_id))
    (details,) = {answer.json()["details"] for answer in answers}
    assert {(answer.status_code, answer.json()["error"]) for answer in answers} == {(400, "invalid_grant")}
    assert f"Send it as client_assertion, with client_assertion_type={PRIVATE_KEY_JWT}" in details
    assert "grant_type=client_credentials" in details
    assert len(details) <= 400, "the SDKs show no more"
    for story in refused(its):
        assert "`iss` and `sub`" in story["event"]["detail"]["failed"]
        assert "grant_type=client_credentials" in story["remedy"]["text"]
    without = next(each for each in refused(its) if each["event"]["client"] is None)
    assert "as in the assertion of a client" in door.get(f"/console/activity/{without['event']['id']}").text


def test_a_token_whose_issuer_is_no_client_has_the_answer_of_before(its: House) -> None:
    its.delegated_agent("Night Owl", key=KEY)
    unsigned = signing_input({"alg": "ES256"}, {"iss": "https://issuer.example", "sub": "https://issuer.example"})
    answer = by_grant(its.door(), assemble(unsigned, KEY.sign(unsigned)))
    assert "must be a valid token of a trusted issuer" in answer.json()["details"]
