"""An agent's key is stolen. The administrator takes the proof away, but whoever fetched a token with the key an instant
before goes on using it, and an assertion that is signed already still gets another.
"""

from __future__ import annotations

from typing import Any

from authsec.jose import parse_compact
from authsec_server.audit.model import EventKind
from authsec_server.clients import held_proofs, service
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


def test_no_token_comes_of_it_and_those_out_end(house: Any) -> None:
    its = house()
    agent, door = its.delegated_agent(), its.door()
    database = its.authority.database

    def ask() -> Any:
        headers = {"Authorization": f"Bearer {agent.assertion(its.clock.now())}"}
        return door.get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers)

    token = parse_compact(ask().json()["token"], max_bytes=8192)
    act = Act(
        principal=LOCAL_OPERATOR,
        now=its.clock.now(),
        request_id="req_00000000000000000000000r",
        address="",
        token_bytes=bytes,
    )
    (proof,) = database.read(lambda tx: service.get(tx, act, agent.client_id)).proofs
    database.change(lambda tx: held_proofs.remove_proof(tx, act, agent.client_id, proof.id))

    answer = ask()
    assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_invalid")
    (revocation,) = database.read(lambda tx: revocations.since(tx, 0))
    assert (revocation.subject_kind, revocation.subject_id) == (SubjectKind.PROOF, proof.id)
    assert token.claims["authority_version"] < revocation.version
    issued = next(each.event for each in its.events() if each.event.kind is EventKind.TOKEN_ISSUED)
    assert (issued.jti, issued.detail["proof_id"]) == (token.claims["jti"], proof.id), "which tokens rested on it"
