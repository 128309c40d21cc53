"""Somebody gives one counted refusal the present minute again and again, before the server seals it.

A refusal waits for its seal while it may be counted up, and `through` of a checkpoint stays below it. So one row that
is renewed each few minutes keeps `through` where it is, for as long as somebody wishes. Then an event that is inserted
among old ones is not found: no checkpoint says that all events up to its number had a seal. Every ten seconds, the
sealer looks through all events since.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import refusal_counts
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Refusal, Tally
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import events
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import func, select, update

pytestmark = pytest.mark.changes_rows_only

BEGUN, MINUTES = LATER + timedelta(minutes=12), 30
REFUSAL = Refusal(kind=EventKind.TOKEN_REFUSED, reason="unknown_client", address="192.0.2.1")
HIGHEST = select(func.max(events.c.id))


def record(database: Database, at: datetime) -> int:
    event = replace(issued(70, at=at), delegations=(), jti=f"{at:%H%M}".zfill(32))
    return database.append(lambda tx: audit.record(tx, event))


def test_a_renewed_refusal_does_not_keep_numbers_open(database: Database) -> None:
    log = fill(database)
    tally = {REFUSAL: Tally(count=1, request_id="req_000000000000000000000001")}
    database.append(lambda tx: refusal_counts.count(tx.connection, tally, BEGUN, tx.event_key))
    refused = database.read(lambda tx: tx.connection.execute(HIGHEST).scalar_one())
    now = BEGUN
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: now)
    for minute in range(MINUTES):
        now = BEGUN + timedelta(minutes=minute)
        renewed = update(events).where(events.c.id == refused).values(at=now)
        database.append(lambda tx, renewed=renewed: tx.connection.execute(renewed) and None)
        record(database, now)
        while sealer.seal():
            pass
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=now))
    assert report.last is not None
    assert report.last.through > refused or report.findings or report.skipped
