"""Raw SQL gives a delegation another role, a deleted role or another agent, and restores the row after the next token.

Or raw SQL inserts a delegation, and deletes it after the next token. The token has actions that nobody delegated to the
agent. The digests of the tables match at the next check.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.model import Named
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.service import prepare_months
from authsec_server.db import Database
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Proposal, Terms
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.roles import service as roles
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year, midnight, noon

OTHER = "5f0c0000-0000-4000-8000-000000000002"
ASKED: dict[str, Any] = {"target_type": "AutoGen AI agent", "max_duration": 60, "actions": ("customers:read",)}
ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@dataclass
class Place:
    """An authority with an agent, and a role that is not delegated to the agent."""

    its: Any
    client_id: str
    role_id: str

    @property
    def act(self) -> Act:
        now = self.its.clock.now()
        return Act(principal=LOCAL_OPERATOR, now=now, request_id="", address="", token_bytes=secrets.token_bytes)

    def execute(self, *statements: str) -> None:
        for each in statements:
            self.its.authority.database.append(lambda tx, each=each: tx.connection.execute(text(each)) and None)

    def status(self, client_id: str) -> int:
        status: int = self.its.door().get(ENDPOINT, params={"client_id": client_id}).status_code
        return status

    def findings(self) -> str:
        """Seal all events, and return what `verify` finds."""
        database, keys = self.its.authority.database, self.its.authority.sealing_keyring
        later = self.its.clock.now() + timedelta(minutes=10)
        sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: later)
        while sealer.seal():
            pass
        return "\n".join(database.read(lambda tx: verify_log(tx, keys.by_kid(), now=later)).findings)


@pytest.fixture
def place(house_on_each: Callable[..., Any]) -> Place:
    its = house_on_each(local_operator=True)
    place = Place(its, its.delegated_name(), "")
    create = its.authority.database.change
    place.role_id = create(lambda tx: roles.create(tx, place.act, name="Spare", actions=["customers:read"])).id
    return place


@pytest.mark.sqlite_suffices  # test_ended_subjects.py judges tokens on PostgreSQL
def test_a_token_under_a_delegation_with_another_role_is_found(place: Place) -> None:
    assert place.status(place.client_id) == 200
    agent = place.its.delegated_name("Other")
    place.execute(
        f"CREATE TABLE kept AS SELECT id, role_id FROM delegations WHERE client_id = '{agent}'",
        f"UPDATE delegations SET role_id = '{place.role_id}' WHERE client_id = '{agent}'",
    )
    assert place.status(agent) == 200
    place.execute(
        "UPDATE delegations SET role_id = (SELECT role_id FROM kept) WHERE id = (SELECT id FROM kept)",
        "DROP TABLE kept",
    )
    (found,) = place.findings().splitlines()
    assert f"names the agent {agent} and the role {place.role_id} for the delegation " in found


@pytest.mark.sqlite_suffices
def test_a_token_under_the_delegation_of_another_agent_is_found(place: Place) -> None:
    agent = place.its.delegated_name("Other", actions=("customers:delete",))
    place.execute(
        f"CREATE TABLE kept AS SELECT id FROM delegations WHERE client_id = '{place.client_id}'",
        f"UPDATE delegations SET client_id = '{agent}'",
    )
    assert place.status(agent) == 200
    place.execute(
        f"UPDATE delegations SET client_id = '{place.client_id}' WHERE id = (SELECT id FROM kept)", "DROP TABLE kept"
    )
    assert f"names the agent {agent} and the role " in place.findings()


@pytest.mark.sqlite_suffices  # the first test here is on PostgreSQL, too
def test_a_token_with_an_action_of_a_deleted_role_is_found(place: Place) -> None:
    place.execute(
        "CREATE TABLE kept AS SELECT * FROM roles WHERE slug = 'spare'",
        f"CREATE TABLE kept_too AS SELECT * FROM role_actions WHERE role_id = '{place.role_id}'",
    )
    place.its.authority.database.change(lambda tx: delegations.delete_role(tx, place.act, "spare"))
    place.execute(
        "CREATE TABLE before AS SELECT * FROM delegations",
        "INSERT INTO roles SELECT * FROM kept",
        "INSERT INTO role_actions SELECT * FROM kept_too",
        f"UPDATE delegations SET role_id = '{place.role_id}'",
    )
    assert place.status(place.client_id) == 200
    place.execute(
        "UPDATE delegations SET role_id = (SELECT role_id FROM before)",
        f"DELETE FROM role_actions WHERE role_id = '{place.role_id}'",
        f"DELETE FROM roles WHERE id = '{place.role_id}'",
        *(f"DROP TABLE {name}" for name in ("kept", "kept_too", "before")),
    )
    assert f"with an action of the role {place.role_id}, which event" in place.findings()


@pytest.mark.sqlite_suffices  # likewise
def test_a_token_under_a_delegation_that_nobody_created_is_found(place: Place) -> None:
    id_ = "5f0c0000-0000-4000-8000-000000000001"
    place.execute(
        "CREATE TABLE kept AS SELECT * FROM delegations",
        f"UPDATE kept SET id = '{id_}', slug = 'other', actions = '[\"customers:delete\"]'",
        "INSERT INTO delegations SELECT * FROM kept",
    )
    assert place.status(place.client_id) == 200
    place.execute(f"DELETE FROM delegations WHERE id = '{id_}'", "DROP TABLE kept")
    assert f"names the delegation {id_}, but no event says that somebody created" in place.findings()


@pytest.mark.sqlite_suffices
def test_a_drop_may_have_removed_all_other_events_of_a_delegation(database: Database) -> None:
    """The server that issued the token was ahead, so the drop keeps its event."""
    year, terms = Year(database), Terms(max_token_lifetime=86_400, default_audience="authsec-api")
    proposal = Proposal(role="support", client="helper", **ASKED)
    resolved = database.change(lambda tx: delegations.create(tx, year.act, proposal, terms))
    year.settle()
    year.database.append(lambda tx: prepare_months(tx, midnight(9)))
    year.at = midnight(9) + timedelta(seconds=6)
    year.issue(
        delegations=(Named(id=resolved.delegation.id, name="Support"),),
        roles=(Named(id=resolved.role.id, name="Support"),),
    )
    year.at = midnight(9) - timedelta(seconds=20)
    year.do(lambda tx, act: delegations.revoke(tx, act, resolved.delegation.id, terms))
    year.do(lambda tx, act: delegations.delete_role(tx, act, "support"))
    year.seal(midnight(9) - timedelta(seconds=18))
    year.at = noon(9)
    year.settle()
    assert year.report().findings == ()
    year.drop(9)
    assert year.report().findings == ()
    year.files.clear()
    assert year.report().findings == ()
    year.issue(jti=f"{JTI[:-1]}2", delegations=(Named(id=OTHER, name="S"),), roles=(Named(id=OTHER, name="S"),))
    year.settle()
    (found,) = year.report().findings
    assert f"names the delegation {OTHER}, but no event says" in found


@pytest.mark.sqlite_suffices
def test_the_tokens_of_several_delegations_are_no_finding(place: Place) -> None:
    def delegate(tx: Any) -> None:
        proposal = Proposal(role="spare", client=place.client_id, **ASKED)
        terms = Terms(max_token_lifetime=86_400, default_audience="authsec-api")
        delegations.create(tx, place.act, proposal, terms)

    place.its.authority.database.change(delegate)
    assert place.status(place.client_id) == 200
    assert place.findings() == ""
