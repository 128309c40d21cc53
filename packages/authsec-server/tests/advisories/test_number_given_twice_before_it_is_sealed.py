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
from typing import Any

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.model import Refusal, Tally
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx, open_database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import func, insert, select
from structlog.testing import capture_logs

AT = LATER + timedelta(minutes=11)
SET_BACK = "SELECT setval('events_id_seq', (SELECT max(event_id) FROM sealed_events))"
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def record(database: Database, second: int) -> int:
    event = replace(issued(70, at=AT + timedelta(seconds=second)), delegations=(), jti=f"token-{second}")
    return database.append(lambda tx: audit.record(tx, event))


def set_back(database: Database) -> None:
    database.append(lambda tx: tx.connection.exec_driver_sql(SET_BACK) and None)


def copy(tx: Tx, number: int, copies: int = 1, **changes: Any) -> None:
    row = tx.connection.execute(select(events).where(events.c.id == number)).one()._asdict() | {"jti": "copy"}
    rows = [row | {"at": AT + timedelta(seconds=5, milliseconds=each)} | changes for each in range(copies)]
    tx.connection.execute(insert(events), rows)


def sealer_of(database: Database, at: datetime) -> Sealer:
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    return Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)


def sealed_by(database: Database, sealer: Sealer) -> set[int]:
    while sealer.seal():
        pass
    return database.read(lambda tx: set(tx.connection.execute(select(sealed_events.c.event_id)).scalars()))


def test_no_server_gives_a_number_twice(database: Database) -> None:
    fill(database)
    first = record(database, 0)
    set_back(database)
    assert record(database, 1) != first


@pytest.mark.parametrize("copies", [1, 1000])
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
    refused = {Refusal(address="192.0.2.1", reason="rate_limited"): Tally(count=1, request_id="req_1")}
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


def test_a_copy_of_the_number_of_an_event_without_a_seal_is_a_finding(database: Database) -> None:
    log = fill(database)
    copied = record(database, 0)
    database.append(lambda tx: copy(tx, copied))
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=AT))
    assert any(f"Event {copied} " in each for each in report.findings)
