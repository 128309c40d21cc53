"""Somebody adds an action to a delegation in the database, has its agent ask for a token, and restores the row.

A server keeps the facts of that request. If it kept them until the next change of authority, the agent would get the
action for as long, although no row has it, and `verify` finds nothing. So a server keeps facts for ten minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec.jose import parse_compact
from authsec_server.tokens.facts import MOST_SECONDS
from sqlalchemy import text

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
GENUINE = '["customers:read"]'
PLANTED = '["customers:delete","customers:read"]'


@pytest.fixture
def its(house_on_each: Callable[..., House]) -> House:
    return house_on_each(unproved_limit=100)


def granted(its: House, client_id: str) -> list[str]:
    answer = its.door().get(ENDPOINT, params={"client_id": client_id})
    assert answer.status_code == 200, answer.text
    return list(parse_compact(answer.json()["token"]).claims["permissions"])


def write(its: House, actions: str) -> None:
    statement = text("UPDATE delegations SET actions = :actions")
    its.authority.database.append(lambda tx: tx.connection.execute(statement, {"actions": actions}) and None)


def test_an_action_ends_ten_minutes_after_its_row(its: House) -> None:
    client_id = its.delegated_name()
    write(its, PLANTED)
    assert granted(its, client_id) == ["customers:delete", "customers:read"]
    write(its, GENUINE)
    its.clock.at += timedelta(seconds=MOST_SECONDS)
    assert granted(its, client_id) == ["customers:read"]
