"""The clock of one server on PostgreSQL is set an hour ahead while the server runs. Nobody attacks.

The readiness probe compares the clock with PostgreSQL's once a second. But the sealer works once a second, too: if it
is first and trusts its clock, it signs one checkpoint an hour ahead. It takes all events to be old, so `through` passes
the number of a transaction that another server has not committed yet. Its event never gets a seal, and `verify` says
for ever that it was inserted. The checkpoint makes all servers with a right clock unready until its time.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.app.readiness_probe import Clocks, sealing_time, wrong_clock
from authsec_server.audit import service as audit
from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
AT = LATER + timedelta(minutes=11)
JUMP = timedelta(hours=1)


def record(tx: Tx, second: int) -> int:
    event = replace(issued(1000 + second, at=AT + timedelta(seconds=second)), delegations=())
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


class Server:
    """A server on PostgreSQL. It has the clock `now`, and PostgreSQL has the clock `there`."""

    def __init__(self, database: Database) -> None:
        self.now = self.there = AT
        self.keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        self.keys.keep(AT)
        self.sealer = Sealer(
            database,
            issuer="https://a",
            signing_key=self.keys.signing_key,
            keys=self.keys.by_kid,
            now=lambda: self.now,
            pass_time=lambda before, after, _: sealing_time(before, after, self.there),
        )

    def seal(self, second: int, ahead: timedelta = timedelta()) -> None:
        self.there = AT + timedelta(seconds=second)
        self.now = self.there + ahead
        self.sealer.seal()


@pytest.mark.soak
def test_no_event_is_called_inserted_because_a_clock_jumped(database: Database) -> None:
    log, server = fill(database), Server(database)
    database.append(lambda tx: record(tx, 1))
    server.seal(0)
    with not_committed_yet(database, 2):
        database.append(lambda tx: record(tx, 3))
        server.seal(3, ahead=JUMP)
    for second in range(20, 80, 20):
        server.seal(second)
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=server.now))
    assert report.findings == ()
    assert report.last is not None
    assert report.last.size == log.checkpoint.size + 3


@pytest.mark.parametrize("ahead", [JUMP, timedelta(seconds=20)])
def test_a_server_with_a_right_clock_stays_ready(database: Database, ahead: timedelta) -> None:
    fill(database)
    server = Server(database)
    server.seal(0)
    database.append(lambda tx: record(tx, 1))
    server.seal(2, ahead=ahead)
    last, behind = database.read(sealing.last_checkpoint_at), server.there - timedelta(seconds=20)
    assert wrong_clock(Clocks(before=behind, after=behind, database=server.there, last_checkpoint=last)) is None


@pytest.mark.parametrize(("ahead", "is_sealed"), [(JUMP, False), (-JUMP, False), (timedelta(seconds=20), True)])
def test_the_sealer_reads_the_clock_of_postgresql(database: Database, ahead: timedelta, is_sealed: bool) -> None:
    server = Server(database)
    sealer = Sealer(
        database,
        issuer="https://a",
        signing_key=server.keys.signing_key,
        keys=server.keys.by_kid,
        now=lambda: datetime.now(UTC) + ahead,
        pass_time=sealing_time,
    )
    database.append(lambda tx: record(tx, 1))
    sealer.seal()
    last = database.read(sealing.last_checkpoint_at)
    assert (last is not None) is is_sealed
    assert last is None or last <= datetime.now(UTC)
