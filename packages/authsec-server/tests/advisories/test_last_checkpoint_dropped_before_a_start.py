"""Somebody deletes the last checkpoints and an event that they cover, while no server runs.

The seals of that event and of all later ones look planted to the server that starts next: no checkpoint covers them. If
it deleted them, sealed the events that are left, and signed a new checkpoint, it would remove the evidence itself,
although `verify` promises to find a dropped checkpoint: no finding, and nothing was sealed late.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from audit_answers import LATER, SealedLog, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.sealer import LogBroken, Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

pytestmark = pytest.mark.changes_rows_only

AT = LATER + timedelta(minutes=11)


def sealer_of(database: Database, now: Callable[[], datetime]) -> Sealer:
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    return Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=now)


def record(database: Database, second: int) -> int:
    event = replace(issued(1000 + second, at=AT + timedelta(seconds=second)), delegations=())
    return database.append(lambda tx: audit.record(tx, event))


def seal(database: Database, at: datetime) -> None:
    """Start a server, which seals what there is."""
    sealer = sealer_of(database, lambda: at)
    try:
        while sealer.seal():
            pass
    except LogBroken:
        pass


def findings(database: Database, log: SealedLog, at: datetime) -> tuple[str, ...]:
    return database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=at)).findings


@pytest.mark.sqlite_suffices
def test_an_event_whose_checkpoints_were_dropped_is_not_dropped_unseen(database: Database) -> None:
    log = fill(database)
    numbers = [record(database, second) for second in range(3)]
    seal(database, AT + timedelta(seconds=5))
    assert findings(database, log, AT + timedelta(seconds=6)) == ()
    for statement in (
        f"DELETE FROM events WHERE id = {numbers[1]}",
        f"DELETE FROM checkpoints WHERE size > {log.checkpoint.size}",
    ):
        database.append(lambda tx, statement=statement: tx.connection.exec_driver_sql(statement) and None)
    assert findings(database, log, AT + timedelta(seconds=7)), "found until a server starts"
    seal(database, AT + timedelta(seconds=10))
    assert findings(database, log, AT + timedelta(seconds=11))


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_server_that_did_not_see_the_end_of_the_log_deletes_no_seals(database: Database) -> None:
    """A server that was kept from sealing did not see the checkpoints that another server has signed meanwhile."""
    log, now = fill(database), AT
    sealer = sealer_of(database, lambda: now)
    sealer.seal()
    now += timedelta(minutes=1)
    record(database, 50)
    seal(database, now)
    lost = f"DELETE FROM checkpoints WHERE size > {log.checkpoint.size}"
    database.append(lambda tx: tx.connection.exec_driver_sql(lost) and None)
    with pytest.raises(LogBroken, match="may have deleted"):
        sealer.seal()
    assert findings(database, log, now)


def test_a_server_that_starts_deletes_seals_behind_a_gap(database: Database) -> None:
    fill(database)
    planted = "INSERT INTO sealed_events SELECT max(position) + 2, max(event_id) + 9, min(hash) FROM sealed_events"
    database.append(lambda tx: tx.connection.exec_driver_sql(planted) and None)
    number = record(database, 0)
    seal(database, AT + timedelta(seconds=1))
    assert database.read(lambda tx: store.is_sealed(tx.connection, number))
