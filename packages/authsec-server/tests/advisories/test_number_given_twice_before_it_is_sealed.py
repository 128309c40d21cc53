"""Somebody sets the sequence of event numbers on PostgreSQL back to the highest sealed number, or copies a new event.

If two events had one number before either has a seal, the sealer would insert two seals for the number, which the
database refuses: no later event would get one. So a server compares its numbers with all events that are committed. Of
two events that have one number nevertheless, the sealer seals the earlier one, and names the number in the server's
log. `verify` reports both.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from audit_answers import LATER, SealedLog, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.model import Refusal, Tally
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx, open_database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from long_runs import some_of
from sqlalchemy import delete, func, insert, select
from structlog.testing import capture_logs

AT = LATER + timedelta(minutes=11)
SET_BACK = "SELECT setval('events_id_seq', (SELECT max(event_id) FROM sealed_events))"
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def record(database: Database, second: int) -> int:
    event = replace(issued(1000 + second, at=AT + timedelta(seconds=second)), delegations=())
    return database.append(lambda tx: audit.record(tx, event))


def set_back(database: Database) -> None:
    database.append(lambda tx: tx.connection.exec_driver_sql(SET_BACK) and None)


def copy(tx: Tx, number: int, copies: int = 1, **changes: Any) -> None:
    row = tx.connection.execute(select(events).where(events.c.id == number)).one()._asdict() | {"jti": "c" * 32}
    rows = [row | {"at": AT + timedelta(seconds=5, milliseconds=each)} | changes for each in range(copies)]
    tx.connection.execute(insert(events), rows)


def sealer_of(database: Database, at: datetime) -> Sealer:
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    return Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)


def findings(database: Database, log: SealedLog, at: datetime) -> tuple[str, ...]:
    return database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=at)).findings


def sealed_by(database: Database, sealer: Sealer) -> set[int]:
    while sealer.seal():
        pass
    return database.read(lambda tx: set(tx.connection.execute(select(sealed_events.c.event_id)).scalars()))


def test_no_server_gives_a_number_twice(database: Database) -> None:
    fill(database)
    first = record(database, 0)
    set_back(database)
    assert record(database, 1) != first


@pytest.mark.parametrize("copies", some_of([1, 1000], each=2))
def test_a_copy_of_a_number_keeps_no_other_event_from_its_seal(database: Database, copies: int) -> None:
    fill(database)
    copied, later = record(database, 0), record(database, 1)
    database.append(lambda tx: copy(tx, copied, copies))
    with capture_logs() as logs:
        sealed = sealed_by(database, sealer_of(database, AT + timedelta(minutes=1)))
    assert later in sealed
    assert (copied in sealed) == (copies == 1)
    assert [line["number"] for line in logs if "is not sealed" in line["event"]] == [copied]


def test_a_copy_of_a_counted_refusal_keeps_no_other_event_from_its_seal(database: Database) -> None:
    fill(database)
    refused = {
        Refusal(address="192.0.2.1", reason="rate_limited"): Tally(count=1, request_id="req_000000000000000000000001")
    }
    database.append(lambda tx: audit.count_refusals(tx, refused, AT))
    number = database.read(lambda tx: tx.connection.execute(select(func.max(events.c.id))).scalar_one())
    database.append(lambda tx: copy(tx, number, at=AT + timedelta(minutes=1), occurrences=7))
    later = record(database, 1)
    assert {number, later} <= sealed_by(database, sealer_of(database, AT + timedelta(minutes=20)))


def test_no_server_gives_a_number_of_another_one_that_waits_for_its_seal(database: Database, database_url: str) -> None:
    fill(database)
    record(database, 0)
    with closing(open_database(database_url)) as other:
        theirs = [record(other, second) for second in range(1, 4)]
    set_back_to = f"SELECT setval('events_id_seq', {theirs[0] - 1})"
    database.append(lambda tx: tx.connection.exec_driver_sql(set_back_to) and None)
    assert record(database, 5) not in theirs


@pytest.mark.soak
def test_an_event_of_an_earlier_month_takes_no_number_of_a_genuine_event(database: Database) -> None:
    log = fill(database)
    first = record(database, 0)
    planted = partial(copy, number=first, id=first + 1, at=AT - timedelta(days=100))
    database.append(lambda tx: planted(tx))
    genuine = record(database, 1)
    at = AT + timedelta(minutes=1)
    assert genuine in sealed_by(database, sealer_of(database, at))
    assert genuine != first + 1 or any(f"Event {genuine} " in each for each in findings(database, log, at))
    database.append(lambda tx: tx.connection.execute(delete(events).where(events.c.jti == "c" * 32)) and None)
    assert findings(database, log, at) == ()


@pytest.mark.soak
def test_an_event_of_an_earlier_month_gets_no_seal_while_a_transaction_has_its_number(database: Database) -> None:
    log = fill(database)
    first = record(database, 0)
    database.append(lambda tx: copy(tx, first, id=first + 1, at=AT - timedelta(days=100)))
    sealer = sealer_of(database, AT + timedelta(minutes=1))

    def work(tx: Tx) -> int:
        number = audit.record(tx, replace(issued(70, at=AT), delegations=(), jti="e" * 32))
        sealed_by(database, sealer)
        return number

    assert database.append(work) in sealed_by(database, sealer_of(database, AT + timedelta(minutes=2)))
    database.append(lambda tx: tx.connection.execute(delete(events).where(events.c.jti == "c" * 32)) and None)
    assert findings(database, log, AT + timedelta(minutes=2)) == ()


def test_events_that_waited_for_months_get_their_seals(database: Database) -> None:
    fill(database)
    numbers = {record(database, second) for second in range(3)}
    assert numbers <= sealed_by(database, sealer_of(database, AT + timedelta(days=100)))


@pytest.mark.soak
def test_a_copy_of_the_number_of_an_event_without_a_seal_is_a_finding(database: Database) -> None:
    log = fill(database)
    copied = record(database, 0)
    database.append(lambda tx: copy(tx, copied))
    assert any(f"Event {copied} " in each for each in findings(database, log, AT))
