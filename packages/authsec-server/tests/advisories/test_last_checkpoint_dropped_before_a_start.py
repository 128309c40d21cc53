"""Somebody deletes the last checkpoints and an event that they cover, while no server runs.

The seals of that event and of all later ones look planted to the server that starts next: no checkpoint covers them. It
deletes them, seals the events that are left, and signs a new checkpoint. So the server itself removes the evidence,
although `verify` promises to find a dropped checkpoint: no finding, and nothing was sealed late.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from audit_answers import LATER, SealedLog, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.sealer import LogBroken, Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

AT = LATER + timedelta(minutes=11)


def seal(database: Database, at: datetime) -> None:
    """Start a server, which seals what there is."""
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)
    try:
        while sealer.seal():
            pass
    except LogBroken:
        pass


def findings(database: Database, log: SealedLog, at: datetime) -> tuple[str, ...]:
    return database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=at)).findings


@pytest.mark.xfail(strict=True, reason="a server that starts takes the seals behind the last checkpoint for planted")
def test_an_event_whose_checkpoints_were_dropped_is_not_dropped_unseen(database: Database) -> None:
    log = fill(database)
    numbers = []
    for second in range(3):
        event = replace(issued(70, at=AT + timedelta(seconds=second)), delegations=(), jti=f"token-{second}")
        numbers.append(database.append(lambda tx, event=event: audit.record(tx, event)))
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
