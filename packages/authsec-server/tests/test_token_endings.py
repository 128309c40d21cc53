"""Which tokens of the audit log have been revoked since, by whatever they rest on; on either database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.clients import held_proofs
from authsec_server.clients import service as client_changes
from authsec_server.clients import service as clients
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Terms
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.roles import service as roles
from authsec_server.tokens.revocation import revoked
from databases import settings_for

pytestmark = pytest.mark.sqlite_suffices

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")
End = Callable[[Tx, Act, Any], Any]


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    return house(**settings_for(database_url, tmp_path))


def token(its: House, agent: Any) -> int:
    """The number of the event of a new token."""
    proof = {"Authorization": f"Bearer {agent.assertion(its.clock.at)}"}
    answer = its.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof)
    assert answer.status_code == 200, answer.text
    number: int = its.events()[-1].id
    return number


def do(its: House, end: End) -> None:
    act = Act(
        principal=LOCAL_OPERATOR,
        now=its.clock.at,
        request_id="req_000000000000000000000end",
        address="",
        token_bytes=lambda n: b"\0" * n,
    )
    issued = next(each.event for each in reversed(its.events()) if each.event.jti)
    its.authority.database.change(lambda tx: end(tx, act, issued))


def ended(its: House) -> dict[int, datetime]:
    found: dict[int, datetime] = its.authority.database.read(lambda tx: revoked(tx, its.events()))
    return found


def narrow(tx: Tx, act: Act, token: Any) -> None:
    role = roles.get(tx, act, token.roles[0].id)
    roles.edit(tx, act, role.id, revision=role.revision, changes={"actions": ["customers:read"]})


ENDINGS: dict[str, End] = {
    "its client was disabled": lambda tx, act, token: clients.disable(tx, act, token.client.id),
    "its client's tokens were revoked": lambda tx, act, token: client_changes.revoke_tokens(tx, act, token.client.id),
    "its proof was removed": lambda tx, act, token: held_proofs.remove_proof(
        tx, act, token.client.id, token.detail["proof_id"]
    ),
    "its delegation was disabled": lambda tx, act, token: delegations.disable(tx, act, token.delegations[0].id, TERMS),
    "its role was narrowed": narrow,
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_token_ends_with_whatever_it_rests_on(its: House, end: End) -> None:
    agent, other = its.delegated_agent(), its.delegated_agent("Other")
    token(its, other)
    first, second = token(its, agent), token(its, agent)
    assert ended(its) == {}
    its.clock.at += timedelta(minutes=5)
    do(its, end)
    assert ended(its) == {first: its.clock.at, second: its.clock.at}


def test_it_ended_when_the_first_of_it_did_and_what_came_later_lives(its: House) -> None:
    agent = its.delegated_agent()
    first = token(its, agent)
    its.clock.at += timedelta(minutes=1)
    do(its, ENDINGS["its client's tokens were revoked"])
    once = its.clock.at
    its.clock.at += timedelta(minutes=1)
    second = token(its, agent)
    its.clock.at += timedelta(minutes=1)
    assert ended(its) == {first: once}
    do(its, ENDINGS["its role was narrowed"])
    assert ended(its) == {first: once, second: its.clock.at}


def test_one_that_had_run_to_its_end_was_not_revoked(its: House) -> None:
    token(its, its.delegated_agent())
    its.clock.at += timedelta(hours=1)
    do(its, ENDINGS["its client was disabled"])
    assert ended(its) == {}


def test_a_audit_log_without_tokens_has_none_that_ended(its: House) -> None:
    assert ended(its) == {}
