"""Processes that take authority away against processes that issue; afterwards the audit log proves the order."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import processes
import pytest
from authsec_server.audit.model import EventKind, Recorded
from authsec_server.audit.pages import above
from authsec_server.clients import service as clients
from authsec_server.clients.model import Onboarding
from authsec_server.db import Database, Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Proposal, Terms
from authsec_server.principal import Act
from authsec_server.roles import service as roles

CONTENDER = Path(__file__).with_name("contender.py")
SECONDS = 0.35
ROUNDS = 8
CONTENDED = 3  # tokens between the first and the last toggle
TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a master key."""
    (tmp_path / "master.key").write_bytes(base64.b64encode(secrets.token_bytes(32)))
    (tmp_path / "master.key").chmod(0o600)
    return tmp_path


def compete(roles: list[str], database_url: str, data: Path, client_id: str, delegation_id: str) -> list[int]:
    programs = [
        [str(CONTENDER), role, database_url, str(data), str(SECONDS), client_id, delegation_id] for role in roles
    ]
    ended = processes.run_at_once(programs, data)
    assert [each.returncode for each in ended] == [0] * len(roles)
    return [int(each.stdout) for each in ended]


@pytest.fixture
def delegated(database: Database, act: Act) -> tuple[str, str]:
    """An unattested agent with one delegation: their ids."""

    def set_up(tx: Tx) -> tuple[str, str]:
        role = roles.create(tx, act, name="Reader", actions=["customers:read"])
        agent = clients.create(tx, act, Onboarding(name="Agent", platform="unattested"))
        proposal = Proposal(
            role=role.id, client=agent.id, target_type="AutoGen AI agent", max_duration=3600, all_actions=True
        )
        resolved = delegations.create(tx, act, proposal, TERMS)
        return agent.id, resolved.delegation.id

    return database.change(set_up)


@pytest.mark.postgresql_suffices  # SQLite has one writer
def test_no_token_is_recorded_after_what_ends_it(
    database: Database, database_url: str, data: Path, delegated: tuple[str, str]
) -> None:
    toggled = issued = 0
    for _ in range(ROUNDS):  # on a busy machine, too little happens in one
        toggles, *tokens = compete(["toggle", "issue", "issue"], database_url, data, *delegated)
        toggled, issued = toggled + toggles, issued + sum(tokens)
        events = recorded(database)
        kinds = [each.event.kind for each in events]
        last = len(kinds) - kinds[::-1].index(EventKind.DELEGATION_ENABLED)
        between = kinds[kinds.index(EventKind.DELEGATION_DISABLED) : last]
        if between.count(EventKind.TOKEN_ISSUED) > CONTENDED:
            break
    else:
        pytest.fail("nothing was contended")
    assert kinds.count(EventKind.TOKEN_ISSUED) == issued
    assert between.count(EventKind.DELEGATION_DISABLED) == toggled / 2
    assert violations(events) == []


@pytest.mark.soak  # it shows that the test before it can fail
@pytest.mark.postgresql_suffices
def test_a_server_that_never_compares_the_facts_in_memory_is_found_out(
    database: Database, database_url: str, data: Path, delegated: tuple[str, str]
) -> None:
    compete(["toggle", "issue-on-kept-facts"], database_url, data, *delegated)
    found = " ".join(violations(recorded(database)))
    assert "issued under a disabled delegation" in found
    assert "decided before a change that precedes it" in found


@pytest.mark.postgresql_suffices  # SQLite has one writer
def test_a_process_that_remembers_its_changes_keeps_their_order(
    database: Database, database_url: str, data: Path, delegated: tuple[str, str]
) -> None:
    for _ in range(ROUNDS):
        compete(["both"], database_url, data, *delegated)
        events = recorded(database)
        kinds = [each.event.kind for each in events]
        assert violations(events) == []
        between = kinds[kinds.index(EventKind.DELEGATION_DISABLED) :]
        if between.count(EventKind.TOKEN_ISSUED) > CONTENDED:
            break
    else:
        pytest.fail("nothing was contended")


@pytest.mark.soak  # it tests the two tests before it
@pytest.mark.postgresql_suffices
def test_a_process_that_takes_each_change_for_one_of_another_client_is_found_out(
    database: Database, database_url: str, data: Path, delegated: tuple[str, str]
) -> None:
    compete(["both-spared"], database_url, data, *delegated)
    assert "issued under a disabled delegation" in " ".join(violations(recorded(database)))


def recorded(database: Database) -> list[Recorded]:
    return database.read(lambda tx: above(tx.connection, 0, 1_000_000))


def violations(events: list[Recorded]) -> list[str]:
    """Where the order is broken: a token between `disabled` and `enabled`, or one that a revocation does not cover."""
    found: list[str] = []
    version_of_last_change, enabled = 0, True
    for each in events:
        event = each.event
        assert event.authority_version is not None or event.kind is EventKind.TOKEN_REFUSED
        if event.kind in {EventKind.DELEGATION_DISABLED, EventKind.DELEGATION_ENABLED}:
            enabled = event.kind is EventKind.DELEGATION_ENABLED
            assert event.authority_version is not None
            version_of_last_change = event.authority_version
        elif event.kind is EventKind.TOKEN_ISSUED:
            if not enabled:
                found.append(f"event {each.id}: issued under a disabled delegation")
            if event.authority_version is None or event.authority_version < version_of_last_change:
                found.append(f"event {each.id}: decided before a change that precedes it")
    return found
