"""A secret was seen by somebody. The operator rotates it, but what was got with it an instant before goes on, or who
has it asks again; or an agent whose delegation wants better proofs shows its secret.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from authsec.jose import parse_compact
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
PATH = "/authsec/api/v1/clients"


def secretive(its: Any, door: Any, **delegation: Any) -> tuple[str, str]:
    """An agent that proves itself by a secret, and the secret."""
    client_id = its.delegated_name("Legacy", **delegation)
    (unattested,) = door.get(f"{PATH}/{client_id}").json()["proofs"]
    secret = door.post(f"{PATH}/{client_id}/proofs", json={"platform": "secret"}).json()["client_secret"]
    door.delete(f"{PATH}/{client_id}/proofs/{unattested['id']}")
    return client_id, secret


def ask(door: Any, client_id: str, secret: str) -> Any:
    credential = b64encode(f"{client_id}:{secret}".encode()).decode()
    return door.get(ENDPOINT, params={"client_id": client_id}, headers={"Authorization": f"Basic {credential}"})


def test_no_token_comes_of_it_and_those_out_end(house: Any) -> None:
    its = house(local_operator=True)
    door = its.door()
    client_id, secret = secretive(its, door)
    token = parse_compact(ask(door, client_id, secret).json()["token"], max_bytes=8192)
    (proof,) = door.get(f"{PATH}/{client_id}").json()["proofs"]
    new = door.post(f"{PATH}/{client_id}/secret", json={"overlap": 0}).json()["client_secret"]
    assert [ask(door, client_id, each).status_code for each in (secret, new)] == [401, 200]
    feed = its.authority.database.read(lambda tx: revocations.since(tx, 0))
    (ended,) = [each for each in feed if each.subject_id == proof["id"]]
    assert ended.subject_kind is SubjectKind.PROOF
    assert token.claims["authority_version"] < ended.version


def test_no_token_that_is_got_meanwhile_outlives_the_overlap(house: Any) -> None:
    its = house(local_operator=True)
    door = its.door()
    client_id, secret = secretive(its, door)
    door.post(f"{PATH}/{client_id}/secret", json={"overlap": 600})
    assert ask(door, client_id, secret).json()["expires_in"] == 600
    its.clock.at = its.clock.at.replace(minute=9, second=59)
    assert ask(door, client_id, secret).json()["expires_in"] == 1
    its.clock.at = its.clock.at.replace(minute=10, second=0)
    assert ask(door, client_id, secret).status_code == 401


def test_where_secrets_are_excluded_none_suffices(house: Any) -> None:
    its = house(local_operator=True)
    door = its.door()
    client_id, secret = secretive(its, door, excluded_proofs=("secret",))
    answer = ask(door, client_id, secret)
    assert (answer.status_code, answer.json()["reason"]) == (403, "proof_not_accepted")
