"""An agent's operator tries its own secret for another agent: at that agent's id, with either id in the header.

Or somebody who holds a secret asks around whose it is, or which agents have secrets at all.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from authsec_server.attestation import client_secret as checked

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
PATH = "/authsec/api/v1/clients"


def ask(door: Any, client_id: str, named: str, secret: str) -> Any:
    credential = b64encode(f"{named}:{secret}".encode()).decode()
    return door.get(ENDPOINT, params={"client_id": client_id}, headers={"Authorization": f"Basic {credential}"})


def add_secret(door: Any, client_id: str) -> str:
    made: str = door.post(f"{PATH}/{client_id}/proofs", json={"platform": "secret"}).json()["client_secret"]
    return made


def test_a_secret_proves_its_own_client_and_no_other(house: Any) -> None:
    its = house(local_operator=True)
    door, mine, other, open_ = its.door(), *(its.delegated_name(name) for name in ("Mine", "Other", "Open"))
    secret, theirs = add_secret(door, mine), add_secret(door, other)
    assert ask(door, mine, mine, secret).status_code == 200
    for client_id, named, text in (
        (other, other, secret),
        (other, mine, secret),
        (mine, other, secret),
        (mine, other, theirs),
        (mine, mine, theirs),
        (open_, open_, secret),  # a proof that does not hold is refused even where none is needed
    ):
        answer = ask(door, client_id, named, text)
        assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_invalid")


def test_neither_the_answer_nor_the_work_tells_whether_a_client_has_secrets(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time is too noisy to be compared in a test: it is counted how many hashes are compared."""
    its = house(local_operator=True)
    door, compared, compare = its.door(), [], checked.compare_digest

    def counting(one: str, other: str) -> bool:
        compared.append(other)
        return compare(one, other)

    monkeypatch.setattr(checked, "compare_digest", counting)
    none, few, many = (its.delegated_name(name) for name in ("None", "Few", "Many"))
    wrong = add_secret(door, few)
    door.post(f"{PATH}/{few}/secret", json={"overlap": 0})
    for _ in range(15):
        add_secret(door, many)
    refused = set()
    for client_id in (none, few, many):
        compared.clear()
        answer = ask(door, client_id, client_id, wrong)
        assert answer.status_code == 401
        refused.add((answer.json()["error"], answer.json()["details"], len(compared), len(answer.content)))
    assert len(refused) == 1, refused


def test_no_client_is_given_secrets_without_number(house: Any) -> None:
    """Each is compared at every request, so their number is what a request costs."""
    its = house(local_operator=True)
    door, client_id = its.door(), its.delegated_name("Many")
    answers = [door.post(f"{PATH}/{client_id}/proofs", json={"platform": "secret"}) for _ in range(100)]
    assert [answer.status_code for answer in answers] == [201] * 15 + [409] * 85
    assert "which is the limit" in answers[-1].json()["error"]
