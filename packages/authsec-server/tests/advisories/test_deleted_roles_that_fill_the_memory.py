"""Somebody inserts very many long events of deleted roles at different times, with rows of revocations at these times.

The history of a token whose role is deleted reads the events of deleted roles at the times of up to 10,000
revocations, 500 times in one statement. Each statement returns up to 16 MiB of events, and the history keeps all of
them: 320 MiB of JSON, which Python needs gigabytes for. Readers promise to hold 16 MiB at once.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from audit_answers import ANN, LATER
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.unreadable_rows import MOST_BYTES
from authsec_server.db import Database

LONG = "x" * 1_000_000
BATCHES, OF_EACH = 3, 17


@pytest.mark.xfail(strict=True, reason="the events of all statements are kept together")
def test_the_events_of_deleted_roles_fit_into_memory_together(database: Database) -> None:
    times = [LATER + timedelta(seconds=each) for each in range(BATCHES * 500)]
    for at in times[:: 500 // OF_EACH]:
        event = Event(
            at=at,
            kind=EventKind.ROLE_DELETED,
            request_id="req",
            principal=ANN,
            authority_version=1,
            detail={"slug": "ghost", "more": LONG},
        )
        database.append(lambda tx, event=event: audit.record(tx, event))
    found = database.read(lambda tx: audit.deleted_roles(tx, dict.fromkeys(times)))
    assert sum(len(each.event.detail["more"]) for each in found) <= MOST_BYTES
