"""Somebody sets the sequence of event numbers on PostgreSQL near its end, inserts one event there, and sets it back.

If a server sealed the event, later numbers would have to be above it, and would end: no event would get a seal, and
each list would show `event.unreadable`. So no server seals or takes a number that is far above the last checkpoint's
`through`, which is signed. A server that meets such a number sets the sequence behind the sealed events.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.event_numbers import FAR
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx, open_database
from authsec_server.failures import Unavailable
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from long_runs import some_of
from sqlalchemy import insert, select
from structlog.testing import capture_logs

FORGED = MAX_NUMBER - 50_000
ALTER = "ALTER SEQUENCE events_id_seq"


def sealer_of(database: Database, now: Callable[[], datetime]) -> Sealer:
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    return Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=now)


def plant(tx: Tx, number: int, at: datetime) -> None:
    tx.connection.exec_driver_sql(f"SELECT setval('events_id_seq', {number})")
    row = (
        tx.connection.execute(select(events).where(events.c.jti == "00000000000000000000000000000020")).one()._asdict()
    )
    new = {"id": number, "at": at, "delegations": [], "jti": "a" * 32, "request_id": f"req_{900:024}"}
    tx.connection.execute(insert(events).values(row | new))


def sealed(tx: Tx) -> set[int]:
    return set(tx.connection.execute(select(sealed_events.c.event_id)).scalars())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_events_of_a_server_that_starts_get_numbers_that_can_be_sealed(database: Database, database_url: str) -> None:
    log = fill(database)
    at = LATER + timedelta(minutes=11)
    sealer = sealer_of(database, lambda: at)

    database.append(lambda tx: plant(tx, FORGED, at))
    while sealer.seal():
        pass
    highest = max(log.covered)
    database.append(lambda tx: tx.connection.exec_driver_sql(f"SELECT setval('events_id_seq', {highest})") and None)
    with closing(open_database(database_url)) as started:
        number = started.append(lambda tx: audit.record(tx, replace(issued(70, at=at), delegations=())))
    while sealer.seal():
        pass
    assert number in database.read(sealed)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("planted", some_of([True, False], each=2))
@pytest.mark.parametrize("number", some_of([FAR - 10, FAR + 10, FAR + 200_000, MAX_NUMBER], each=2))
def test_events_get_their_seals_wherever_the_sequence_is_set(database: Database, number: int, planted: bool) -> None:
    fill(database)
    at = LATER + timedelta(minutes=11)
    sealer = sealer_of(database, lambda: at)

    def record() -> int:
        event = replace(issued(70, at=at), delegations=())
        return database.append(lambda tx: audit.record(tx, event))

    def seal(minutes: int) -> None:
        nonlocal at
        for _ in range(minutes):
            at += timedelta(minutes=1)
            while sealer.seal():
                pass

    record()
    seal(1)
    if planted:
        database.append(lambda tx: plant(tx, number, at))
    else:
        database.append(lambda tx: tx.connection.exec_driver_sql(f"SELECT setval('events_id_seq', {number})") and None)
    numbers = {record() for _ in range(20)}
    seal(13)
    assert database.read(sealed).issuperset(numbers)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_event_is_recorded_that_can_get_no_seal(database: Database) -> None:
    fill(database)
    at = LATER + timedelta(minutes=11)
    number = database.append(lambda tx: audit.record(tx, replace(issued(70, at=at), delegations=())))
    database.append(lambda tx: tx.connection.exec_driver_sql(f"{ALTER} INCREMENT BY {2**34}") and None)
    with pytest.raises(Unavailable):
        database.append(lambda tx: audit.record(tx, replace(issued(71, at=at), delegations=())))
    sealer = sealer_of(database, lambda: at)
    while sealer.seal():
        pass
    assert number in database.read(sealed)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_sequence_that_nobody_can_set_ends_no_sealing(database: Database) -> None:
    fill(database)
    database.append(lambda tx: tx.connection.exec_driver_sql(f"{ALTER} MAXVALUE 10 RESTART WITH 1") and None)
    with capture_logs() as logs:
        assert not sealer_of(database, lambda: LATER + timedelta(minutes=11)).seal()
    assert any("could not be set" in line["event"] for line in logs)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_forged_seal_leads_no_server_to_the_last_number(database: Database) -> None:
    log = fill(database)
    at = LATER + timedelta(minutes=11)
    sealer = sealer_of(database, lambda: at)
    forged = store.Leaf(position=2**60, event_id=MAX_NUMBER - 1, hash=bytes(32))
    database.append(lambda tx: store.add_leaves(tx.connection, [forged]))
    sealer.seal()
    number = database.append(lambda tx: audit.record(tx, replace(issued(70, at=at), delegations=())))
    assert max(log.covered) < number < max(log.covered) + 1000
