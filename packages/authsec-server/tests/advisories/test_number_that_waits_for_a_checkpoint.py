"""Somebody sets the sequence of event numbers on PostgreSQL ahead, just within the bound of servers.

A server takes numbers up to 2^32 above the highest sealed one, and the sealer seals numbers up to 2^32 above `through`
of the last checkpoint, which is minutes older. An event between the two bounds waits for its seal until `through` comes
near: five minutes, while other servers seal each second. Neither the server's log nor `verify` says so. Within that
time, the event can be deleted and the sequence set back, without a trace.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.event_numbers import FAR
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from structlog.testing import capture_logs

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
BEGUN = LATER + timedelta(minutes=11)
AHEAD = f"SELECT setval('events_id_seq', (SELECT max(event_id) FROM sealed_events) + {FAR - 10})"


def record(database: Database, at: datetime) -> int:
    event = replace(issued(70, at=at), delegations=(), jti=f"{at:%H%M%S}".zfill(32))
    return database.append(lambda tx: audit.record(tx, event))


def test_each_event_gets_its_seal_within_seconds_or_is_named(database: Database) -> None:
    log = fill(database)
    keys, now = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes), BEGUN
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: now)
    for second in range(50):
        record(database, BEGUN + timedelta(seconds=second))
    with capture_logs() as logs:
        for second in range(50, 240, 10):
            now = BEGUN + timedelta(seconds=second)
            sealer.seal()
            if second == 60:
                database.append(lambda tx: tx.connection.exec_driver_sql(AHEAD) and None)
                number = record(database, now)
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=now))
    is_sealed = database.read(lambda tx: store.is_sealed(tx.connection, number))
    assert is_sealed or report.findings or report.skipped or [line for line in logs if line["log_level"] == "error"]
