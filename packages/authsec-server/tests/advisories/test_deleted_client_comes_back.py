"""An agent is deleted; later one of the same name is onboarded. If it were the old one in any sense, tokens and scripts
that were meant to be dead would work again.
"""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from authsec.jose import parse_compact
from authsec_server.clients import service
from authsec_server.clients.model import Onboarding
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Terms
from authsec_server.failures import NotFound
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")


def test_its_id_and_its_authority_stay_gone(house: Any) -> None:
    its = house()
    gone, door = its.delegated_name(name="Payroll"), its.door()
    database = its.authority.database
    act = Act(
        principal=LOCAL_OPERATOR,
        now=its.clock.now(),
        request_id="req_00000000000000000000000r",
        address="",
        token_bytes=secrets.token_bytes,
    )
    token = parse_compact(door.get(ENDPOINT, params={"client_id": gone}).json()["token"], max_bytes=8192)
    database.change(lambda tx: delegations.delete_client(tx, act, gone, TERMS))
    again = database.change(lambda tx: service.create(tx, act, Onboarding(name="Payroll", platform="unattested")))

    assert again.slug == "payroll"
    assert again.id != gone
    assert door.get(ENDPOINT, params={"client_id": gone}).json()["reason"] == "client_not_found"
    assert door.get(ENDPOINT, params={"client_id": again.id}).json()["reason"] == "no_delegation"
    ended = {each.subject_id: each for each in database.read(lambda tx: revocations.since(tx, 0))}
    assert ended[gone].subject_kind is SubjectKind.CLIENT
    assert token.claims["authority_version"] < ended[gone].version
    with pytest.raises(NotFound):
        database.change(lambda tx: service.enable(tx, act, gone))
