"""Somebody gives the table of events in an SQLite file a constraint with `ON CONFLICT REPLACE`, for some seconds.

The insert of an event then deletes an earlier one. SQLite counts no row that it deletes for such a constraint, so the
number of changed rows is what servers expect. Of several tokens that are recorded in one transaction, only the last has
an event. The genuine table comes back before the next check, with the numbers that are left.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import event_batches
from authsec_server.audit.event_batches import EventTemplate, TokenEvent
from authsec_server.audit.model import Event
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.failures import Unavailable

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
AT = LATER + timedelta(minutes=11)
TOKENS = 3
REPLACING = ", UNIQUE (at, client_id) ON CONFLICT REPLACE)"
DEFINITIONS = "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'events' AND sql IS NOT NULL"


def token_event(number: int) -> TokenEvent:
    event: Event = replace(issued(3 * number, at=AT), delegations=(), jti=f"{number + 900:032}")
    names = ("at", "request_id", "address", "jti", "kid", "token_sha256", "expires_at", "authority_version")
    return TokenEvent(template=EventTemplate.of(event), **{name: getattr(event, name) for name in names})


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA legacy_alter_table = ON")
        connection.execute("BEGIN IMMEDIATE")
        for each in statements:
            connection.execute(each)
        connection.execute("COMMIT")


def restore_definitions(path: Path, definitions: list[tuple[str, str]]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        for name, sql in definitions:
            connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, name))
        version = connection.execute("PRAGMA schema_version").fetchone()[0]
        connection.execute(f"PRAGMA schema_version = {version + 1}")


def test_no_token_of_a_transaction_is_left_without_an_event(database: Database, database_url: str) -> None:
    log, path = fill(database), Path(database_url.removeprefix("sqlite:///"))
    definitions = [tuple(row) for row in database.read(lambda tx: tx.connection.exec_driver_sql(DEFINITIONS).all())]
    forged = dict(definitions)["events"].rstrip().removesuffix(")") + REPLACING
    execute(
        path,
        forged.replace("CREATE TABLE events", "CREATE TABLE forged"),
        "INSERT INTO forged SELECT * FROM events",
        "ALTER TABLE events RENAME TO genuine",
        "ALTER TABLE forged RENAME TO events",
    )
    batch = [token_event(number) for number in range(1, TOKENS + 1)]
    try:
        database.record(lambda tx: event_batches.add_all(tx.connection, batch, tx.event_key))
    except Unavailable:
        return
    finally:
        execute(
            path,
            "INSERT INTO genuine SELECT * FROM events WHERE id > (SELECT max(id) FROM genuine)",
            "DROP TABLE events",
            "ALTER TABLE genuine RENAME TO events",
        )
        restore_definitions(path, definitions)
    found = "SELECT count(*) FROM events WHERE jti LIKE 'token-%'"
    recorded = database.read(lambda tx: tx.connection.exec_driver_sql(found).scalar_one())
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=AT + timedelta(minutes=1)))
    assert recorded == TOKENS or report.findings, recorded
