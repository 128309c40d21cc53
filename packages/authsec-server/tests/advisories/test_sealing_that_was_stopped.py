"""Somebody who writes to the database stops the sealing, and has everything say that nothing waits for its seal."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from audit_answers import LATER, fill, issued
from authsec_server.app.readiness_probe import Clocks, sealing_stopped
from authsec_server.audit import service as audit
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx
from sqlalchemy import insert, select

AN_HOUR_LATER = LATER + timedelta(hours=1)


def _seal_a_huge_number(tx: Tx) -> None:
    row = tx.connection.execute(select(events).where(events.c.kind == "role.created").limit(1)).one()._asdict()
    tx.connection.execute(insert(events).values(row | {"id": 2**53 - 2, "at": LATER}))
    seal = {"position": store.size(tx.connection), "event_id": 2**53 - 2, "hash": bytes(32)}
    tx.connection.execute(insert(sealed_events).values(seal))


def test_events_that_wait_are_seen_below_a_huge_number_that_is_sealed(database: Database) -> None:
    fill(database)
    database.append(_seal_a_huge_number)
    database.append(partial(audit.record, event=issued(100, at=LATER + timedelta(minutes=1))))
    assert database.read(lambda tx: store.waits(tx.connection, since=AN_HOUR_LATER - timedelta(minutes=10)))


def test_verify_says_since_when_events_wait(database: Database) -> None:
    log = fill(database)
    at = LATER + timedelta(minutes=1)
    database.append(partial(audit.record, event=issued(100, at=at)))
    told = [
        database.read(lambda tx, now=now: verify(tx, log.keys, [log.head], now=now)).waiting_since
        for now in (at + timedelta(minutes=9), AN_HOUR_LATER)
    ]
    assert told == [None, at]


def test_readyz_notes_that_no_head_is_signed() -> None:
    clocks = partial(Clocks, database=None, last_head=LATER)
    fine, late = LATER + timedelta(minutes=9), AN_HOUR_LATER
    assert sealing_stopped(clocks(before=fine, after=fine)) == {}
    assert "1:00:00" in sealing_stopped(clocks(before=late, after=late))["sealing"]
