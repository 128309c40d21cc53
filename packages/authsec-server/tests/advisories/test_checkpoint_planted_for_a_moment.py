"""Somebody inserts a checkpoint of very many seals for a moment, together with a seal of a very high number.

A server believes a seal if a checkpoint covers its place. It looks for the largest checkpoint in the table, and
verifies no signature. So the next event gets a number behind the planted seal. Once both rows are gone, no sealer seals
that number: on PostgreSQL a number more than 2^32 above `through`, on SQLite one above 2^53-1. The genuine
event never gets its seal. `verify` must name it.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.event_numbers import FAR, UNUSUAL
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

AT = LATER + timedelta(minutes=11)
SIZE = 2**60
PLANTED = (
    f"INSERT INTO checkpoints (size, at, signed) VALUES ({SIZE}, '2026-11-25 15:00:00', 'none')",
    f"INSERT INTO sealed_events (position, event_id, hash) VALUES ({SIZE - 1}, {{number}}, '00')",
)
REMOVED = (
    f"DELETE FROM sealed_events WHERE position = {SIZE - 1}",
    f"DELETE FROM checkpoints WHERE size = {SIZE}",
)
HIGH = {
    "sqlite": (MAX_NUMBER, (f"UPDATE sqlite_sequence SET seq = {UNUSUAL} WHERE name = 'events'",)),
    "postgresql": (2 * FAR, ()),
}


@pytest.mark.sqlite_suffices
def test_an_event_beside_a_planted_checkpoint_gets_its_seal_or_is_named(database: Database) -> None:
    log, now = fill(database), AT
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: now)
    sealer.seal()

    def execute(*statements: str) -> None:
        for each in statements:
            database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)

    number, further = HIGH[database.dialect]
    execute(*(each.format(number=number) for each in PLANTED), *further)
    event = replace(issued(70, at=AT), delegations=())
    taken = database.append(lambda tx: audit.record(tx, event))
    execute(*REMOVED)
    for _ in range(30):
        sealer.seal()
        now += timedelta(seconds=20)
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=now + timedelta(minutes=10)))
    is_sealed = database.read(lambda tx: store.is_sealed(tx.connection, taken))
    assert is_sealed or any(f"{taken}" in each for each in report.findings)
