"""Somebody sets the sequence of event numbers on PostgreSQL back to the highest sealed number, or copies a new event.

A server compares the next number with the sealed ones, and not with those that it gave within the last second. So two
events get one number before either has a seal. Then the sealer inserts two seals for the number, which the database
refuses. No later event ever gets a seal, until one of the two events is deleted. `verify` does not name the number.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import insert, select

AT = LATER + timedelta(minutes=11)
SET_BACK = "SELECT setval('events_id_seq', (SELECT max(event_id) FROM sealed_events))"
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def record(database: Database, second: int) -> int:
    event = replace(issued(70, at=AT + timedelta(seconds=second)), delegations=(), jti=f"token-{second}")
    return database.append(lambda tx: audit.record(tx, event))


def set_back(database: Database) -> None:
    database.append(lambda tx: tx.connection.exec_driver_sql(SET_BACK) and None)


def copy(tx: Tx, number: int) -> None:
    row = tx.connection.execute(select(events).where(events.c.id == number)).one()._asdict()
    tx.connection.execute(insert(events).values(row | {"at": AT + timedelta(seconds=5), "jti": "copy"}))


@pytest.mark.xfail(strict=True, reason="a number is compared with sealed events alone")
def test_no_server_gives_a_number_twice(database: Database) -> None:
    fill(database)
    first = record(database, 0)
    set_back(database)
    assert record(database, 1) != first


@pytest.mark.xfail(strict=True, reason="the sealer inserts a seal for each row, and the number of a seal is unique")
def test_a_copy_of_a_number_keeps_no_other_event_from_its_seal(database: Database) -> None:
    fill(database)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(
        database,
        issuer="https://a",
        signing_key=keys.signing_key,
        keys=keys.by_kid,
        now=lambda: AT + timedelta(minutes=1),
    )
    copied, later = record(database, 0), record(database, 1)
    database.append(lambda tx: copy(tx, copied))
    while sealer.seal():
        pass
    sealed = database.read(lambda tx: set(tx.connection.execute(select(sealed_events.c.event_id)).scalars()))
    assert later in sealed


@pytest.mark.xfail(strict=True, reason="only events with a seal are compared with their copies")
def test_a_copy_of_the_number_of_an_event_without_a_seal_is_a_finding(database: Database) -> None:
    log = fill(database)
    copied = record(database, 0)
    database.append(lambda tx: copy(tx, copied))
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=AT))
    assert any(f"Event {copied} " in each for each in report.findings)
