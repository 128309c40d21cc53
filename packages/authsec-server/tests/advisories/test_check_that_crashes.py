"""One plain UPDATE of a SQLite file ends `verify` with a traceback, so that it names no finding."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, open_database


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_event_number_that_is_a_text_is_found_by_verify_itself(database: Database, database_url: str) -> None:
    log = fill(database)
    database.close()
    of_table = "name = 'event_delegations'"
    for written, other in (("event_id BIGINT", "event_id BLOB"), ("event_id BLOB", "event_id BIGINT")):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as plain:
            plain.execute("PRAGMA writable_schema = ON")
            plain.execute(f"UPDATE sqlite_master SET sql = replace(sql, '{written}', '{other}') WHERE {of_table}")
        if other == "event_id BLOB":
            with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as plain:
                plain.execute("UPDATE event_delegations SET event_id = CAST(event_id AS TEXT) WHERE event_id = 14")
    with closing(open_database(database_url)) as again:
        report = again.read(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
    assert "A row of `event_delegations` was changed: the event number is not a number." in report.findings


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET client_id = CAST(client_id AS BLOB) WHERE id = 2",
        "UPDATE checkpoints SET size = CAST('x' AS BLOB)",
        "UPDATE checkpoints SET size = 'x'",
    ],
    ids=["client_id", "size-blob", "size-text"],
)
def test_a_value_of_another_type_is_a_finding(database: Database, change: str) -> None:
    log = fill(database)
    database.append(lambda tx: tx.connection.exec_driver_sql(change) and None)
    assert database.read(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER)).findings


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_column_whose_name_is_no_text_is_a_finding(database: Database, database_url: str) -> None:
    log = fill(database)
    database.close()
    path = Path(database_url.removeprefix("sqlite:///"))
    data = bytearray(path.read_bytes())
    at = data.index(b"description TEXT", data.index(b"CREATE TABLE roles"))
    data[at] = 0x80
    path.write_bytes(data)
    with closing(open_database(database_url)) as again:
        report = again.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
    assert any("roles" in each for each in report.findings), report.findings
