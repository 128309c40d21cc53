"""Somebody inserts an event which says that an ended subject was enabled, or that somebody created a delegation.

Meanwhile, raw SQL changes the row for a moment, and a server issues a token or an administrator makes a change. If each
sealed event of these kinds were believed, `verify` would find nothing. But a genuine change writes to the table, so its
last event has digests of the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.audit.sealing import table_writes
from authsec_server.audit.sealing.scratch import Scratch, SubjectChange
from authsec_server.clients import service as clients
from authsec_server.principal import Role
from authsec_server.roles import service as roles
from long_runs import some_of
from sealed_estate import sealed_estate

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_ended_subjects import AGAIN, Tokens, tokens  # noqa: F401 - a fixture

pytestmark = [pytest.mark.sqlite_suffices, pytest.mark.changes_rows_only]
GHOST = "00000000-0000-4000-8000-00000000abcd"


def invent(its: Tokens, kind: EventKind, **what: Any) -> None:
    """Insert an event that no change has made."""
    estate = its.sealed.estate
    estate.act = replace(estate.act, now=estate.act.now + timedelta(seconds=1))
    estate.database.append(lambda tx: audit.record_act(tx, estate.act, kind, **what) and None)


INVENTED: dict[str, Callable[[Tokens], None]] = {
    "an agent": lambda its: invent(its, EventKind.CLIENT_ENABLED, client=its.client),
    "a delegation": lambda its: invent(
        its, EventKind.DELEGATION_ENABLED, client=its.client, delegations=(its.delegation,), roles=(its.role,)
    ),
    "a trusted issuer": lambda its: invent(its, EventKind.ISSUER_ENABLED, subject=its.issuer),
}


@pytest.mark.parametrize("subject", some_of(AGAIN))
def test_a_token_after_an_invented_enabling_is_found(tokens: Tokens, subject: str) -> None:  # noqa: F811 - a fixture by its name
    disable, enable = AGAIN[subject]
    tokens.do(disable)
    tokens.do(enable)
    tokens.issue()
    tokens.do(disable)
    INVENTED[subject](tokens)
    assert tokens.findings() == ()
    tokens.issue()
    assert "had disabled: somebody changed the database in between" in "".join(tokens.findings())


def test_a_genuine_enabling_beside_another_change_is_believed(tokens: Tokens) -> None:  # noqa: F811 - a fixture by its name
    """Of the events of one change, the last has the digests."""
    disable, enable = AGAIN["an agent"]

    def both(tx: Any, act: Any, its: Tokens) -> None:
        enable(tx, act, its)
        roles.create(tx, act, name="Other", actions=("a:b",))
        clients.disable(tx, act, "helper")

    tokens.do(disable)
    tokens.do(both)
    tokens.issue()
    assert tokens.findings() == ()


def test_an_act_after_an_invented_enabling_of_an_administrator_is_found(estate: Any) -> None:
    sealed = sealed_estate(estate)
    bob = estate.see(lambda tx, act: administrators.get(tx, act, "bob@example.com"))
    estate.do(lambda tx, act: administrators.disable(tx, act, bob.id))
    kind, subject = EventKind.ADMINISTRATOR_ENABLED, Named(id=bob.id, name=bob.name)
    estate.database.append(lambda tx: audit.record_act(tx, estate.act, kind, subject=subject) and None)
    by_bob = replace(estate.act, principal=replace(bob, role=Role.ADMIN).principal(""))
    estate.database.change(lambda tx: clients.disable(tx, by_bob, "helper"))
    sealed.seal()
    assert f"is an act of the administrator {bob.id}, which event" in "".join(sealed.findings())


@pytest.mark.parametrize(
    "kind",
    [
        EventKind.DELEGATION_CREATED,
        EventKind.DELEGATION_EDITED,
        EventKind.DELEGATION_ENABLED,
        EventKind.DELEGATION_DISABLED,
    ],
)
def test_an_invented_event_creates_no_delegation(tokens: Tokens, kind: EventKind) -> None:  # noqa: F811 - a fixture by its name
    ghost = (Named(id=GHOST, name="Support"),)
    detail = {"slug": "ghost"} if kind is EventKind.DELEGATION_CREATED else {}
    ended = {"ended": []} if kind is EventKind.DELEGATION_EDITED else {}
    tokens.issue(delegations=ghost)
    invent(tokens, kind, client=tokens.client, delegations=ghost, roles=(tokens.role,), detail=detail | ended)
    tokens.sealed.seal()
    assert f"names the delegation {GHOST}, but no event says" in "".join(tokens.sealed.findings())


@pytest.mark.parametrize(
    ("written", "last_dropped", "is_believed"),
    [
        (("clients", 7, 12), 0, True),
        (("clients", 7, 9), 0, False),  # the digests are in the last event of a change
        (("clients", 8, 12), 0, False),
        (("roles", 7, 12), 0, False),
        (("clients", 8, 12), 10, True),  # the last event of the change may have been dropped
        (("", 0, -11), 0, True),  # before the first digests
        (None, 0, True),  # without digests in the log
    ],
)
def test_the_change_of_an_enabling_wrote_to_the_table(
    written: tuple[str, int, int] | None, last_dropped: int, is_believed: bool
) -> None:
    with Scratch.opened() as scratch:
        scratch.keep_subject_changes([SubjectChange("client", "c", 10, "enabled", 7)])
        if written is not None:
            scratch.keep_written([("", 0, -3), written] if written[0] else [written])
        table_writes.leave_out_unproved(scratch, last_dropped)
        assert bool(scratch.query("SELECT 1 FROM subject_change")) == is_believed
