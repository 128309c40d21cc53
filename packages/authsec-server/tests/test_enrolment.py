"""Enrolment through its public doors: a code for an operator, a key for a laptop, a proof for some hours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec.enrolment_code import read_code, text_of
from authsec.jose import PrivateKey, parse_compact
from authsec_server.clients.enrolment import MAX_MACHINE, machine_name
from databases import settings_for
from hypothesis import given
from hypothesis import strategies as st
from laptops import CLIENTS, ENROL, Laptop, code_for, pod_of

pytestmark = pytest.mark.sqlite_suffices

House = Any


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    """An authority at whose machine we sit, on either database, with an agent of a cluster."""
    return house(local_operator=True, **settings_for(database_url, tmp_path))


@pytest.fixture
def pod(its: House) -> str:
    """An agent that runs in a cluster, with something delegated to it: its client_id."""
    return pod_of(its)


def client(its: House, client_id: str) -> dict[str, Any]:
    found: dict[str, Any] = its.door().get(f"{CLIENTS}/{client_id}").json()
    return found


def kinds(its: House, client_id: str) -> list[str]:
    """The kinds of the client's proofs: those made in the same moment stand in any order."""
    return sorted(each["kind"] for each in client(its, client_id)["proofs"])


def test_a_laptop_is_the_agent_for_some_hours(its: House, pod: str) -> None:
    laptop = Laptop(its)
    assert laptop.asks(pod).status_code == 401
    answer = laptop.enrols(pod, code_for(its, pod))
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert (told["client_id"], told["name"], told["expires_at"]) == (pod, "Support", "2026-11-25T20:00:00Z")
    token = laptop.asks(pod)
    assert token.json()["expires_at"] == "2026-11-25T20:00:00Z", "no token outlives the key"
    claims = parse_compact(token.json()["token"]).claims
    seen = client(its, pod)
    (proof,) = [each for each in seen["proofs"] if each["kind"] == "enrolled_key"]
    said = {"method": "key_pair", "selectors": [], "enrolled": True, "proof": proof["id"]}
    assert claims["attestation"] == said
    assert (proof["kind"], proof["state"], proof["machine"]) == ("enrolled_key", "weak", "ada-laptop")
    assert (seen["platform"], seen["enrolled"], seen["can_prove_itself"]) == ("kubernetes", True, True)
    its.clock.at += timedelta(hours=8)
    assert laptop.asks(pod).json()["reason"] == "attestation_invalid"
    assert not client(its, pod)["enrolled"]


def test_the_audit_log_says_who_let_which_machine_in(its: House, pod: str) -> None:
    laptop = Laptop(its)
    laptop.enrols(pod, code_for(its, pod, hours=2))
    laptop.asks(pod)
    made, enrolled, issued = [each.event for each in its.events()][-3:]
    assert (made.kind, made.client.id, made.detail["hours"]) == ("enrolment.made", pod, 2)
    assert (enrolled.kind, enrolled.client.id, enrolled.address) == ("proof.enrolled", pod, laptop.address)
    assert enrolled.principal.name == enrolled.detail["enrolled_by"] == "local operator"
    assert (enrolled.detail["machine"], enrolled.detail["kind"]) == ("ada-laptop", "enrolled_key")
    assert enrolled.detail["thumbprint"] == laptop.key.public.thumbprint()
    assert (issued.kind, issued.detail["attestation"], issued.detail["enrolled"]) == ("token.issued", "key_pair", True)


@pytest.mark.parametrize("excluded", ["enrolled_key", "key_pair"])
def test_a_delegation_may_want_no_laptops(its: House, excluded: str) -> None:
    """Whoever excludes key pairs excludes enrolled ones with them; but not the other way round."""
    client_id = pod_of(its, excluded_proofs=[excluded])
    laptop = Laptop(its)
    laptop.enrols(client_id, code_for(its, client_id))
    assert laptop.asks(client_id).json()["reason"] == "proof_not_accepted"
    kept = its.delegated_agent("Kept", excluded_proofs=(excluded,))
    headers = {"Authorization": f"Bearer {kept.assertion()}"}
    answer = its.door().get(
        "/authsec/uflow/sdk/delegation-token", params={"client_id": kept.client_id}, headers=headers
    )
    assert answer.status_code == (200 if excluded == "enrolled_key" else 403)


def test_a_code_is_read_however_it_is_typed(its: House, pod: str) -> None:
    code = code_for(its, pod)
    typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert Laptop(its).enrols(pod, typed).status_code == 201


def test_what_fails_does_not_use_up_the_code(its: House, pod: str) -> None:
    laptop, code = Laptop(its), code_for(its, pod)
    late = laptop.possession(pod, code, exp=int(laptop.now.timestamp()) - 31)
    slow = laptop.enrols(pod, code, possession=late)
    assert (slow.status_code, slow.json()["field"]) == (400, "possession")
    assert "clock" in slow.json()["details"]
    assert laptop.enrols(pod, code, public_key="-----BEGIN NONSENSE-----").json()["field"] == "public_key"
    elsewhere = pod_of(its, "Elsewhere")
    other = laptop.enrols(elsewhere, code)
    assert (other.status_code, other.json()["error"]) == (403, "This code is for another agent.")
    assert laptop.enrols(pod, code).status_code == 201


def test_codes_are_few_are_seen_without_themselves_and_are_taken_back(its: House, pod: str) -> None:
    door, path = its.door(), f"{CLIENTS}/{pod}/enrolments"
    made = [door.post(path, json={}).json() for _ in range(5)]
    codes = [each["code"] for each in made]
    full = door.post(path, json={})
    assert (full.status_code, full.json()["error"][:24]) == (409, "Support has 5 open codes")
    listed = door.get(path)
    assert [each["made_by"] for each in listed.json()["items"]] == ["local operator"] * 5
    assert not any(code in listed.text for code in codes)
    first = made[0]["id"]
    assert door.post(f"{path}/{first}/take-back").status_code == 200
    again = door.post(f"{path}/{first}/take-back")
    assert (again.status_code, "until that proof is removed" in again.json()["details"]) == (404, True)
    assert [Laptop(its).enrols(pod, code).status_code for code in codes[:2]] == [403, 201]
    its.clock.at += timedelta(minutes=15)
    assert Laptop(its).enrols(pod, codes[3]).status_code == 403, "it has expired"
    assert door.get(path).json()["items"] == []
    assert door.post(path, json={"hours": 169}).json()["field"] == "hours"


def test_enrolled_keys_that_have_expired_make_room(its: House, pod: str) -> None:
    """A client has 16 proofs at most: a laptop that is enrolled each morning must not fill it up."""
    for _ in range(3):
        assert Laptop(its).enrols(pod, code_for(its, pod)).status_code == 201
        its.clock.at += timedelta(hours=9)
    assert kinds(its, pod) == ["enrolled_key", "selectors"]
    for number in range(15):
        answer = Laptop(its).enrols(pod, code_for(its, pod))
        assert (number, answer.status_code) == (number, 201)
    full = Laptop(its).enrols(pod, code := code_for(its, pod))
    assert (full.status_code, "16 proofs" in full.json()["error"]) == (409, True)
    proof = client(its, pod)["proofs"][-1]["id"]
    its.door().delete(f"{CLIENTS}/{pod}/proofs/{proof}")
    assert Laptop(its).enrols(pod, code).status_code == 201, "the code was not used up"


def test_a_removed_key_is_out_at_once(its: House, pod: str) -> None:
    laptop = Laptop(its)
    proof = laptop.enrols(pod, code_for(its, pod)).json()["proof_id"]
    assert laptop.asks(pod).status_code == 200
    its.door().delete(f"{CLIENTS}/{pod}/proofs/{proof}")
    assert laptop.asks(pod).json()["reason"] == "attestation_invalid"


def test_where_the_record_cannot_be_written_nobody_is_enrolled(
    its: House, pod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, code = Laptop(its), code_for(its, pod)
    with monkeypatch.context() as broken:
        broken.setattr("authsec_server.audit.store.add", lambda *_: 1 / 0)
        assert laptop.enrols(pod, code).status_code == 500
    assert kinds(its, pod) == ["selectors"]
    assert laptop.enrols(pod, code).status_code == 201


def test_a_body_is_read_strictly(its: House, pod: str) -> None:
    laptop, code = Laptop(its), code_for(its, pod)
    assert laptop.enrols(pod, code, hours=1000).json()["field"] == "hours"
    assert laptop.enrols(pod, code, machine=7).json()["field"] == "machine"
    assert its.door().get(ENROL).status_code == 405
    private = laptop.enrols(pod, code, public_key=laptop.key.to_pem().decode())
    assert (private.status_code, "PRIVATE" in private.json()["error"]) == (400, True)


@given(st.text(max_size=200))
def test_a_machine_is_called_by_what_can_be_seen(text: str) -> None:
    name = machine_name(text)
    assert len(name) <= MAX_MACHINE
    assert name == name.strip() == machine_name(name)
    assert name.isprintable()


@given(st.binary(min_size=20, max_size=20))
def test_a_code_is_what_was_made(code: bytes) -> None:
    text = text_of(code)
    assert len(text) == 39
    read = read_code(text)
    assert read == text.replace("-", "")
    assert text_of(code[:-1] + bytes([code[-1] ^ 1])) != text
    assert read_code(text[:-1]) is None


def test_a_key_of_each_kind_may_be_enrolled(its: House, pod: str) -> None:
    for key in (PrivateKey.generate_rsa(), PrivateKey.generate_ec()):
        laptop = Laptop(its, key=key)
        assert laptop.enrols(pod, code_for(its, pod)).status_code == 201
        assert laptop.asks(pod).status_code == 200
