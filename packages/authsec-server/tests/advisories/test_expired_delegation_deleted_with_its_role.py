"""FALSE FINDING: a delegation from dropped months expires, and somebody deletes its role or its agent.

Only the event of that deletion names the delegation. The check of the parties once looked for no such event.
The attack that this check finds is still found: raw SQL inserts a delegation for one token, and deletes the row before
somebody deletes the role.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.model import Named
from authsec_server.db import Database, Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Proposal, Terms
from authsec_server.principal import Act
from authsec_server.roles import service as roles
from long_runs import some_of

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year, noon

pytestmark = pytest.mark.sqlite_suffices
TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")
PLANTED = "5f0c0000-0000-4000-8000-000000000002"


def delete_role(tx: Tx, act: Act) -> None:
    delegations.delete_role(tx, act, "temp")


def delete_client(tx: Tx, act: Act) -> None:
    delegations.delete_client(tx, act, "helper", TERMS)


@pytest.mark.parametrize("delete", some_of([delete_role, delete_client], each=2))
def test_a_token_under_an_expired_and_deleted_delegation_is_no_finding(
    database: Database, delete: Callable[[Tx, Act], Any]
) -> None:
    year = Year(database)
    proposal = Proposal(
        role="temp",
        client="helper",
        target_type="MCP server",
        max_duration=60,
        actions=("a:b",),
        slug="expires",
        ends_at=noon(9) + timedelta(days=3),
    )
    year.do(lambda tx, act: roles.create(tx, act, name="Temp", actions=("a:b",)))
    year.do(lambda tx, act: delegations.create(tx, act, proposal, TERMS))
    year.settle()
    year.edit(9)
    year.drop(9)
    its = database.read(lambda tx: delegations.get(tx, year.act, "expires", TERMS))
    role = Named(id=its.role.id, name="Temp")
    year.issue(delegations=(Named(id=its.delegation.id, name="Temp for Helper"),), roles=(role,))
    year.issue(jti=f"{JTI[:-1]}2", delegations=(Named(id=PLANTED, name="Temp for Helper"),), roles=(role,))
    year.at += timedelta(days=4)
    year.do(delete)
    year.settle()
    (with_export,) = year.report().findings
    year.files.clear()
    (found,) = year.report().findings
    for each in (with_export, found):
        assert f"names the delegation {PLANTED}, but no event says" in each
