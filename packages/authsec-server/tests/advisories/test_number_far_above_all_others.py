"""Somebody inserts one event with a very high number, and the server seals it.

If the server signed a checkpoint that covers all events up to that number, no later event would get a seal: on
PostgreSQL, the events of servers have lower numbers. So the sealer leaves out events above the sequence, and logs
them.

On SQLite, the numbers of servers go on after the highest one. If that were the highest one that can be sealed, no later
event would get a seal. So a server leaves out such a number, and goes on after the sealed events.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest
from audit_answers import LATER, SealedLog, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import delete, insert, select
from structlog.testing import capture_logs

pytestmark = pytest.mark.changes_rows_only

ABOVE = 10**12


class Attacked:
    """A log with some thirty sealed events, and a server that seals."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.log: SealedLog = fill(database)
        self.now = LATER + timedelta(minutes=11)
        keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        self.sealer = Sealer(
            database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: self.now
        )

    def insert(self, number: int) -> None:
        """Insert an event like one that is there."""

        def work(tx: Tx) -> None:
            row = (
                tx.connection.execute(select(events).where(events.c.jti == "00000000000000000000000000000020"))
                .one()
                ._asdict()
            )
            new = {"id": number, "at": self.now, "delegations": [], "jti": "a" * 32, "request_id": f"req_{900:024}"}
            tx.connection.execute(insert(events).values(row | new))

        self.database.append(work)

    def serve(self, minutes: int) -> None:
        for _ in range(minutes):
            self.now += timedelta(seconds=61)
            while self.sealer.seal():
                pass

    def findings(self) -> tuple[str, ...]:
        return self.database.check(lambda tx: verify(tx, self.log.keys, [self.log.checkpoint], now=self.now)).findings


@pytest.mark.soak
@pytest.mark.parametrize(
    ("database_url", "number"),
    [("postgresql", ABOVE), pytest.param("postgresql", MAX_NUMBER, marks=pytest.mark.soak), ("sqlite", MAX_NUMBER)],
    indirect=["database_url"],
)
def test_events_that_come_later_get_their_seals(database: Database, number: int) -> None:
    attacked = Attacked(database)
    attacked.insert(number)
    attacked.serve(8)
    at_once = attacked.findings()
    its = [
        database.append(lambda tx, n=n: audit.record(tx, issued(60 + n, at=attacked.now)))  # type: ignore[misc] # mypy does not infer it
        for n in range(3)
    ]
    attacked.serve(8)
    afterwards = attacked.findings()
    assert [each for each in its if any(f"Event {each} " in finding for finding in afterwards)] == [], at_once


@pytest.mark.parametrize(
    ("database_url", "number"), [("postgresql", ABOVE), ("sqlite", MAX_NUMBER)], indirect=["database_url"]
)
def test_an_event_above_all_given_numbers_is_named(database: Database, number: int) -> None:
    attacked = Attacked(database)
    attacked.insert(number)
    with capture_logs() as logs:
        attacked.serve(2)
    assert [line["number"] for line in logs if "is not sealed" in line["event"]] == [number]
    assert any(f"Event {number} was inserted" in finding for finding in attacked.findings())


def test_an_event_with_a_number_that_a_checkpoint_covers_is_named(database: Database) -> None:
    attacked = Attacked(database)
    attacked.serve(8)  # the checkpoint covers all events
    free = min(attacked.log.covered)
    database.append(lambda tx: tx.connection.execute(delete(events).where(events.c.id == free)) and None)
    database.append(
        lambda tx: tx.connection.execute(delete(sealed_events).where(sealed_events.c.event_id == free)) and None
    )
    attacked.insert(free)
    with capture_logs() as logs:
        attacked.serve(2)
    assert [line["number"] for line in logs if "is not sealed" in line["event"]] == [free]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_server_that_seals_raises_a_sequence_that_was_set_back(database: Database) -> None:
    attacked = Attacked(database)
    attacked.serve(8)
    database.append(lambda tx: tx.connection.exec_driver_sql("SELECT setval('events_id_seq', 3)") and None)
    attacked.serve(1)
    number = database.append(lambda tx: tx.connection.exec_driver_sql("SELECT nextval('events_id_seq')").scalar_one())
    assert number > max(attacked.log.covered)
