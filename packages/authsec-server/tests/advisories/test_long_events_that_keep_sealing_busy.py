"""Somebody inserts twenty events of three megabytes each, which get no seal because of their form.

One pass of the sealer reads five of them: 16 MiB, and six seconds if their JSON is a long list of empty lists. The
second pass goes on behind them, and then ten seconds are over: the sealer looks through everything once more. If it
began at the first of them again, no event behind them would ever get its seal. The sealer would still sign a checkpoint
each minute, so `verify` has no reason for its status 6, and the server's log has the numbers of the long events only.
New events could be changed and deleted, and the long ones afterwards: then nothing is found.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit import unreadable_rows
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import text

pytestmark = pytest.mark.changes_rows_only

LONG = f'["{"x" * 130_000}"]'  # an eighth, as is the memory here
MAKE_LONG = text("UPDATE events SET delegations = :long, roles = :long, detail = :long WHERE id = :number")
OF_A_PASS = timedelta(seconds=6)  # as measured, with lists of empty lists


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers hold an eighth of what they usually hold."""
    monkeypatch.setattr(unreadable_rows, "MOST_BYTES", unreadable_rows.MOST_BYTES // 8)


class Log:
    """An audit log with a sealer and a clock of its own."""

    def __init__(self, database: Database) -> None:
        self.filled = fill(database)
        self.database, self.now = database, LATER + timedelta(minutes=11)
        keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        self.sealer = Sealer(
            database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: self.now
        )

    def record(self, tx: Tx) -> int:
        return audit.record(tx, replace(issued(70, at=self.now), delegations=(), jti=secrets.token_hex(16)))

    def plant_long(self, count: int) -> None:
        for _ in range(count):
            number = self.database.append(self.record)
            values = {"long": LONG, "number": number}
            self.database.append(lambda tx, values=values: tx.connection.execute(MAKE_LONG, values) and None)

    def renumber(self, number: int, other: int) -> None:
        statement = f"UPDATE events SET id = {other} WHERE id = {number}"
        self.database.append(lambda tx: tx.connection.exec_driver_sql(statement) and None)

    def seal_on(self, passes: int) -> None:
        for _ in range(passes):
            self.sealer.seal()
            self.now += OF_A_PASS

    def is_sealed(self, number: int) -> bool:
        return self.database.read(lambda tx: store.is_sealed(tx.connection, number))


@pytest.mark.soak
@pytest.mark.sqlite_suffices
def test_an_event_behind_long_events_gets_its_seal(database: Database) -> None:
    log = Log(database)
    log.plant_long(20)
    number = database.append(log.record)
    log.seal_on(30)  # three minutes
    assert log.is_sealed(number)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_event_that_is_committed_behind_a_search_gets_its_seal(database: Database) -> None:
    """The search goes on for longer than numbers take to settle, and has passed the number of the event."""
    log = Log(database)
    number = database.append(log.record)
    log.renumber(number, -number)  # as long as it is not committed
    log.plant_long(12)
    log.sealer.seal()
    log.renumber(-number, number)
    log.now += timedelta(minutes=6)
    database.append(log.record)
    log.seal_on(10)
    assert log.is_sealed(number)
