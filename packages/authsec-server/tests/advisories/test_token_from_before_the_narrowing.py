"""An agent keeps a token from before its delegation was narrowed, and deletes customers with it for another hour."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import parse_compact
from authsec_server.delegations import editing
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Terms
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import Revocation
from authsec_server.roles import service as roles

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")


def claims_of_a_token(its: Any, client_id: str) -> dict[str, Any]:
    answer = its.door().get(ENDPOINT, params={"client_id": client_id})
    assert answer.status_code == 200, answer.text
    claims: dict[str, Any] = dict(parse_compact(answer.json()["token"]).claims)
    return claims


def operator(its: Any) -> Act:
    return Act(
        principal=LOCAL_OPERATOR,
        now=its.clock.now(),
        request_id="req_00000000000000000000edit",
        address="",
        token_bytes=secrets.token_bytes,
    )


def ended(its: Any, claims: dict[str, Any]) -> bool:
    """As every follower of the revocation feed decides it: on the claims and the feed, and nothing else."""
    feed: list[Revocation] = its.authority.database.read(lambda tx: revocations.since(tx, 0))
    subjects_of_token = {claims["client_id"], *claims["delegation_ids"], *claims["roles"]}
    return any(each.subject_id in subjects_of_token and claims["authority_version"] < each.version for each in feed)


NARROWER: dict[str, Callable[[Any, Act, str, str], Any]] = {
    "fewer actions": lambda tx, act, id_, _role: editing.edit(
        tx, act, id_, an_edit(actions=("customers:read",)), TERMS, revision=1
    ),
    "a shorter duration": lambda tx, act, id_, _role: editing.edit(
        tx, act, id_, an_edit(max_duration=60), TERMS, revision=1
    ),
    "another audience": lambda tx, act, id_, _role: editing.edit(
        tx, act, id_, an_edit(audiences=("payments",)), TERMS, revision=1
    ),
    "a role without the action": lambda tx, act, _id, role: roles.edit(
        tx, act, role, revision=1, changes={"actions": ("customers:read",)}
    ),
}


def an_edit(**what: Any) -> dict[str, Any]:
    same: dict[str, Any] = {
        "target_type": "AutoGen AI agent",
        "max_duration": 3600,
        "actions": ("customers:delete", "customers:read"),
        "owner": "local operator",
    }
    return {**same, **what}


@pytest.mark.parametrize("narrower", NARROWER)
def test_every_narrowing_ends_the_tokens_from_before_and_no_later_one(house: Callable[..., Any], narrower: str) -> None:
    its = house()
    client_id = its.delegated_name(actions=("customers:delete", "customers:read"))
    before = claims_of_a_token(its, client_id)
    assert not ended(its, before)
    act = operator(its)

    def narrow(tx: Any) -> None:
        ((delegation, role),) = delegations.of_client(tx, client_id)
        NARROWER[narrower](tx, act, delegation.id, role.id)

    its.authority.database.change(narrow)
    assert ended(its, before), "the old token is still good"
    assert not ended(its, claims_of_a_token(its, client_id)), "the agent cannot go on with what it has left"


def test_widening_ends_no_token(house: Callable[..., Any]) -> None:
    its = house()
    client_id = its.delegated_name()
    before = claims_of_a_token(its, client_id)
    act = operator(its)

    def widen(tx: Any) -> None:
        ((delegation, _),) = delegations.of_client(tx, client_id)
        editing.edit(tx, act, delegation.id, an_edit(), TERMS, revision=1)

    its.authority.database.change(widen)
    assert not ended(its, before)
    assert claims_of_a_token(its, client_id)["permissions"] == ["customers:delete", "customers:read"]
