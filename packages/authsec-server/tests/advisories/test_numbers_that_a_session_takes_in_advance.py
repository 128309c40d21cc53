"""Somebody lets each session of PostgreSQL take very many event numbers at once, and sets the sequence back.

After the first number, the sequence is above all sealed numbers. But the session still gives numbers of sealed events.
Their events would never get a seal, and somebody could delete them days later without a finding. So a server compares
each number that it takes with the seals, and takes others. The sealer sets the cache of the sequence to 1, and `verify`
compares it.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from audit_answers import LATER, SealedLog, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.checkpoints import Checkpoint
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import events
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from structlog.testing import capture_logs

COLUMNS = ", ".join(each.name for each in events.columns if each.name not in {"id", "at"})
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def execute(database: Database, statement: str) -> None:
    database.append(lambda tx: tx.connection.exec_driver_sql(statement) and None)


def sealer_of(database: Database, at: datetime) -> Sealer:
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    return Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)


def findings(database: Database, log: SealedLog) -> tuple[str, ...]:
    return database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER)).findings


@pytest.mark.soak
def test_a_sequence_that_gives_many_numbers_at_once_is_a_finding(database: Database) -> None:
    log = fill(database)
    execute(database, "ALTER SEQUENCE events_id_seq CACHE 1000000")
    assert findings(database, log) != ()


def test_no_event_gets_the_number_of_a_sealed_one(database: Database) -> None:
    log = fill(database)
    execute(database, "ALTER SEQUENCE events_id_seq CACHE 1000000")
    execute(database, "SELECT setval('events_id_seq', 3)")
    event = replace(issued(70, at=LATER), delegations=())
    numbers = [database.append(lambda tx: audit.record(tx, event)) for _ in range(4)]
    assert not log.covered.intersection(numbers)


@pytest.mark.soak
def test_no_event_can_be_deleted_unseen_once_a_checkpoint_has_its_number(database: Database) -> None:
    log, at, given = fill(database), LATER + timedelta(minutes=11), list[Checkpoint]()
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(
        database,
        issuer="https://a",
        signing_key=keys.signing_key,
        keys=keys.by_kid,
        now=lambda: at,
        give=given.append,
    )

    def record(jti: str) -> int:
        return database.append(lambda tx: audit.record(tx, replace(issued(70, at=at), delegations=(), jti=jti)))

    execute(database, "ALTER SEQUENCE events_id_seq CACHE 1000")
    execute(database, "SELECT setval('events_id_seq', 3)")
    number = record("5" * 32)
    execute(database, "ALTER SEQUENCE events_id_seq CACHE 1")
    for minute in range(12):  # a server seals all the time
        at += timedelta(seconds=61)
        record(f"{minute:032}")
        while sealer.seal():
            pass
    assert given[-1].through >= number
    execute(database, "DELETE FROM events WHERE jti = '55555555555555555555555555555555'")
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint, given[-1]], now=at))
    assert report.findings != ()


def test_a_server_that_seals_has_each_session_take_one_number_at_once(database: Database) -> None:
    fill(database)
    execute(database, "ALTER SEQUENCE events_id_seq CACHE 1000000")
    with capture_logs() as logs:
        sealer_of(database, LATER + timedelta(minutes=11)).seal()
    assert [line["at_once"] for line in logs if "at_once" in line] == [1_000_000]
    at_once = "SELECT seqcache FROM pg_sequence WHERE seqrelid = 'events_id_seq'::regclass"
    assert database.read(lambda tx: tx.connection.exec_driver_sql(at_once).scalar_one()) == 1


def test_an_event_that_a_checkpoint_covers_is_named_however_many_came_later(database: Database) -> None:
    fill(database)
    at = LATER + timedelta(minutes=11)
    execute(
        database,
        f"INSERT INTO events (id, at, {COLUMNS}) SELECT 0, '{at}', {COLUMNS} FROM events"
        f" WHERE jti = '{20:032}' UNION ALL SELECT nextval('events_id_seq'), '{at}'::timestamptz"
        f" + n * interval '1 ms', {COLUMNS} FROM events, generate_series(1, 200) n WHERE jti = '{20:032}'",
    )
    with capture_logs() as logs:
        sealer_of(database, at + timedelta(seconds=1)).seal()
    assert [line["number"] for line in logs if "is not sealed" in line["event"]] == [0]
