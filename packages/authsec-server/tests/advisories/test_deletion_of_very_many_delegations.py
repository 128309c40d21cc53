"""A role or a client of which thousands of delegations are over is deleted: its event listed all of them in one row.

No list could show that event, no server sealed it, and `audit verify` took an honest change for a forgery.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.audit.event_shape import MAX_LISTED, MAX_NAMED
from authsec_server.audit.model import EventKind
from authsec_server.audit.service import record_act
from authsec_server.db import Tx, metadata
from authsec_server.delegations import service
from authsec_server.delegations import service as delegations_service
from authsec_server.principal import Act
from sealed_estate import Sealed, sealed_estate
from sqlalchemy import insert, select

pytestmark = pytest.mark.sqlite_suffices

NUMBER = MAX_LISTED + 1
DELETED: dict[EventKind, Callable[[Tx, Act, Any], object]] = {
    EventKind.ROLE_DELETED: lambda tx, act, _: service.delete_role(tx, act, "old"),
    EventKind.CLIENT_DELETED: lambda tx, act, terms: service.delete_client(tx, act, "agent", terms),
}


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    """An agent with very many delegations of one role, all of them revoked."""
    its = sealed_estate(estate)
    role, client = estate.role("Old"), estate.agent("Agent")
    delegations = metadata.tables["delegations"]
    given = estate.delegate(role="old", client="agent", slug="one").delegation

    def many(tx: Tx, act: Act) -> None:
        (row,) = tx.connection.execute(select(delegations).where(delegations.c.id == given.id)).mappings()
        rows = [
            {**row, "id": f"00000000-0000-4000-8000-{each:012d}", "slug": f"old-{each}", "revoked_at": act.now}
            for each in range(NUMBER)
        ]
        tx.connection.execute(insert(delegations), rows)
        record_act(tx, act, EventKind.ROLE_EDITED, detail={"ended": []})

    estate.do(many)
    estate.do(lambda tx, act: delegations_service.revoke(tx, act, given.id, estate.terms))
    assert (role.slug, client.slug) == ("old", "agent")
    its.seal()
    assert its.findings() == ()
    return its


@pytest.mark.soak
@pytest.mark.parametrize(
    "kind", [EventKind.ROLE_DELETED, pytest.param(EventKind.CLIENT_DELETED, marks=pytest.mark.soak)]
)
def test_the_deletion_is_recorded_sealed_and_shown(sealed: Sealed, kind: EventKind) -> None:
    estate = sealed.estate
    estate.do(lambda tx, act: DELETED[kind](tx, act, estate.terms))
    sealed.seal()
    assert sealed.findings() == ()
    told = [event for event in estate.events() if event.kind is kind]
    assert [len(event.delegations) for event in told] == [MAX_NAMED] * 6 + [NUMBER + 1 - 6 * MAX_NAMED]
    assert len({each.id for event in told for each in event.delegations}) == NUMBER + 1
