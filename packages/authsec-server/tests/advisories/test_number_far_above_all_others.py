"""Somebody inserts one event with a very high number, and the server seals it.

Minutes later, the server signs a checkpoint that covers all events up to that number. On PostgreSQL, the events of
servers have lower numbers, so none of them ever gets a seal. The server's log says nothing. Only `overdue` is true
after ten minutes. Lists by time omit these events, and `verify` calls each of them inserted.

On SQLite, the numbers of servers go on after the highest one. If that is the highest one that can be sealed, no later
event gets a seal.
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
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import insert, select

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
            row = tx.connection.execute(select(events).where(events.c.jti == "jti-of-token-20")).one()._asdict()
            new = {"id": number, "at": self.now, "delegations": [], "jti": "another", "request_id": "req_another"}
            tx.connection.execute(insert(events).values(row | new))

        self.database.append(work)

    def serve(self, minutes: int) -> None:
        for _ in range(minutes):
            self.now += timedelta(seconds=61)
            while self.sealer.seal():
                pass

    def findings(self) -> tuple[str, ...]:
        return self.database.check(lambda tx: verify(tx, self.log.keys, [self.log.checkpoint], now=self.now)).findings


@pytest.mark.xfail(strict=True, reason="the sealer trusts each number that is not above 2^53-1")
@pytest.mark.parametrize(
    ("database_url", "number"),
    [("postgresql", ABOVE), ("postgresql", MAX_NUMBER), ("sqlite", MAX_NUMBER)],
    indirect=["database_url"],
)
def test_events_that_come_later_get_their_seals(database: Database, number: int) -> None:
    attacked = Attacked(database)
    attacked.insert(number)
    attacked.serve(8)
    at_once = attacked.findings()
    its = [
        database.append(lambda tx, n=n: audit.record(tx, issued(60 + n, at=attacked.now)))  # type: ignore[misc]
        for n in range(3)
    ]
    attacked.serve(8)
    afterwards = attacked.findings()
    assert [each for each in its if any(f"Event {each} " in finding for finding in afterwards)] == [], at_once
