"""Somebody inserts very many long events of deleted roles at different times, with rows of revocations at these times.

If the role of a token is deleted, the history of the token reads the events of deleted roles at the times of up to
10,000 revocations, 500 times in one statement. If each statement returned up to 16 MiB of events, and the history
kept all of them, these would be 320 MiB of JSON, which Python needs gigabytes for. Readers hold 16 MiB at
once. So the history gets these events some at a time, and keeps only the slugs of the roles.
"""

from __future__ import annotations

import tracemalloc
from datetime import timedelta

import pytest
from audit_answers import ANN, LATER
from authsec_server.audit import pages, unreadable_rows
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind
from authsec_server.db import Database

MOST_BYTES = unreadable_rows.MOST_BYTES // 8
LONG = "x" * 125_000
BATCHES, OF_EACH = 9, 17


@pytest.mark.soak  # test_long_events_that_readers_hold_together.py has the same bound
@pytest.mark.sqlite_suffices
def test_the_events_of_deleted_roles_fit_into_memory_together(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an eighth of the memory, and events of an eighth of the length."""
    monkeypatch.setattr(unreadable_rows, "MOST_BYTES", MOST_BYTES)
    times = [LATER + timedelta(seconds=each) for each in range(BATCHES * 500)]
    for at in times[:: 500 // OF_EACH]:
        event = Event(
            at=at,
            kind=EventKind.ROLE_DELETED,
            request_id="req_000000000000000000000req",
            principal=ANN,
            authority_version=1,
            detail={"slug": "ghost", "more": LONG},
        )
        database.append(lambda tx, event=event: audit.record(tx, event))
    tracemalloc.start()
    try:
        found = database.read(lambda tx: sum(1 for _ in audit.deleted_roles(tx, times)))
        assert tracemalloc.get_traced_memory()[1] < 6 * MOST_BYTES
    finally:
        tracemalloc.stop()
    assert found == len(times[:: 500 // OF_EACH])


@pytest.mark.sqlite_suffices
def test_all_events_of_a_time_are_read_in_bounded_batches(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_NUMBERS", 7)
    for _ in range(20):
        deletion = Event(
            at=LATER, kind=EventKind.ROLE_DELETED, request_id="req_000000000000000000000req", detail={"slug": "ghost"}
        )
        database.append(lambda tx, deletion=deletion: audit.record(tx, deletion))
    numbers = database.read(lambda tx: [each.id for each in audit.deleted_roles(tx, [LATER, LATER])])
    assert len(numbers) == 20
    assert numbers == sorted(set(numbers))
