"""Somebody lets each session of PostgreSQL take very many event numbers at once, and sets the sequence back.

`ALTER SEQUENCE … CACHE` is not in the compared schema. After the first number, the sequence is above all sealed
numbers, so no server raises it. But the session still gives numbers of sealed events. The new events never get a seal,
and no log names them. Somebody deletes such an event days later, sets the sequence forward, and `verify` finds nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import LATER, SealedLog, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.checkpoints import Checkpoint
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def execute(database: Database, statement: str) -> None:
    database.append(lambda tx: tx.connection.exec_driver_sql(statement) and None)


def findings(database: Database, log: SealedLog) -> tuple[str, ...]:
    return database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER)).findings


@pytest.mark.xfail(strict=True, reason="the listing of the schema has no cache of a sequence")
def test_a_sequence_that_gives_many_numbers_at_once_is_a_finding(database: Database) -> None:
    log = fill(database)
    execute(database, "ALTER SEQUENCE events_id_seq CACHE 1000000")
    assert findings(database, log) != ()


@pytest.mark.xfail(strict=True, reason="a sequence with a cache is above the sealed numbers, and is not raised")
def test_no_event_gets_the_number_of_a_sealed_one(database: Database) -> None:
    log = fill(database)
    execute(database, "ALTER SEQUENCE events_id_seq CACHE 1000000")
    execute(database, "SELECT setval('events_id_seq', 3)")
    event = replace(issued(70, at=LATER), delegations=())
    numbers = [database.append(lambda tx: audit.record(tx, event)) for _ in range(4)]
    assert not log.covered.intersection(numbers)


@pytest.mark.xfail(strict=True, reason="the event has the number of a sealed one, so it never gets a seal")
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
    number = record("stolen")
    execute(database, "ALTER SEQUENCE events_id_seq CACHE 1")
    for minute in range(12):  # a server seals all the time
        at += timedelta(seconds=61)
        record(f"later-{minute}")
        while sealer.seal():
            pass
    assert given[-1].through >= number
    execute(database, "DELETE FROM events WHERE jti = 'stolen'")
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint, given[-1]], now=at))
    assert report.findings != ()
