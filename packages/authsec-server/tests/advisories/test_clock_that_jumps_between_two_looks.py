"""The clock of one server on PostgreSQL is set an hour ahead while the server runs. Nobody attacks.

The server compares its clock with PostgreSQL's once a second, and the sealer of a server with a wrong clock pauses. But
the sealer works once a second, too: if it is first, it signs one checkpoint an hour ahead. It takes all events to be
old, so `through` passes the number of a transaction that another server has not committed yet. Its event never gets a
seal, and `verify` says for ever that it was inserted. The checkpoint of the coming hour makes all servers with a right
clock unready until then.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.app.readiness_probe import Clocks, wrong_clock
from authsec_server.audit import service as audit
from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

pytestmark = [
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
    pytest.mark.xfail(strict=True, reason="a pass of the sealer does not compare its clock with PostgreSQL's"),
]
AT = LATER + timedelta(minutes=11)
JUMP = timedelta(hours=1)


def record(tx: Tx, second: int) -> int:
    event = replace(issued(70, at=AT + timedelta(seconds=second)), delegations=(), jti=f"token-{second}")
    return audit.record(tx, event)


@contextmanager
def not_committed_yet(database: Database, second: int) -> Iterator[None]:
    """Within this context, another server has recorded an event, and has not committed it."""
    begun, ending = Event(), Event()

    def work(tx: Tx) -> None:
        record(tx, second)
        begun.set()
        ending.wait(2)

    thread = Thread(target=database.append, args=(work,))
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def sealer_of(database: Database, clock: list[Any]) -> Sealer:
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    return Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: clock[0])


def test_no_event_is_called_inserted_because_a_clock_jumped(database: Database) -> None:
    log, clock = fill(database), [AT]
    sealer = sealer_of(database, clock)
    database.append(lambda tx: record(tx, 1))
    sealer.seal()
    with not_committed_yet(database, 2):
        database.append(lambda tx: record(tx, 3))
        clock[0] = AT + JUMP
        sealer.seal()
    for second in range(20, 80, 20):
        clock[0] = AT + timedelta(seconds=second)
        sealer.seal()
    assert database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=clock[0])).findings == ()


def test_a_server_with_a_right_clock_stays_ready(database: Database) -> None:
    fill(database)
    clock = [AT]
    sealer = sealer_of(database, clock)
    sealer.seal()
    clock[0] = AT + JUMP
    sealer.seal()
    last = database.read(sealing.last_checkpoint_at)
    assert wrong_clock(Clocks(before=AT, after=AT, database=AT, last_checkpoint=last)) is None
