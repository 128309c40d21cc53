"""Somebody inserts a seal for the next event number, or for an event that has no seal yet, far behind all other seals.

The event looks as if it had its seal. So the server never seals it and does not call it overdue, and its log does not
name it, while all other events get their seals. `verify` finds the planted seal as long as it is there. Hours later
somebody deletes the seal and the event, and `verify` finds nothing. On PostgreSQL, no event gets a number at or below a
sealed one, so the seal must be planted within the second in which the event is recorded.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from structlog.testing import capture_logs

BEGUN, HOURS = LATER + timedelta(minutes=11), 3
PLANTED = (
    "INSERT INTO sealed_events SELECT 1000000000, max(id) + {}, hash FROM events, sealed_events GROUP BY hash LIMIT 1"
)
DELETED = (
    "DELETE FROM events WHERE id IN (SELECT event_id FROM sealed_events WHERE position = 1000000000)",
    "DELETE FROM sealed_events WHERE position = 1000000000",
)


def record(database: Database, at: datetime) -> int:
    event = replace(issued(70, at=at), delegations=(), jti=f"token-{at:%H%M}")
    return database.append(lambda tx: audit.record(tx, event))


@pytest.mark.xfail(strict=True, reason="store.unsealed takes any row of sealed_events for the seal of an event")
def test_an_event_whose_number_has_a_planted_seal_is_not_lost_unseen(database: Database) -> None:
    log, now = fill(database), BEGUN
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: now)
    if database.dialect == "sqlite":
        database.append(lambda tx: tx.connection.exec_driver_sql(PLANTED.format(1)) and None)
    lost = record(database, now)
    if database.dialect == "postgresql":
        database.append(lambda tx: tx.connection.exec_driver_sql(PLANTED.format(0)) and None)
    with capture_logs() as logs:
        for hours in range(1, HOURS):
            now = BEGUN + timedelta(hours=hours)
            record(database, now)
            while sealer.seal():
                pass
    for each in DELETED:
        database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=now))
    assert report.last is not None
    assert report.last.at == now
    assert report.last.through >= lost
    assert logs or report.findings
