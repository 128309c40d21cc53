"""An entry of an index in the SQLite file leads to another row than its own: a search shows another agent's events.

SQLite believes an index: it does not compare the row that an entry leads to with the key that was looked for. Whoever
writes to the file takes an index out of its schema, changes a row, and puts the index back.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from audit_answers import ANN, LATER, SealedLog, fill
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, open_database
from long_runs import some_rows_of

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
JTI = "00000000000000000000000000000007"
WRITABLE = "PRAGMA writable_schema = on"


@pytest.fixture
def log(database: Database) -> SealedLog:
    """A sealed log, in a file that no server has open any more."""
    its = fill(database)
    database.close()
    return its


def mislead(url: str, index: str, column: str, value: str, *, own_entry: bool) -> None:
    """An entry with this value leads to event 4; in that index the event has its `own_entry` as well, or none."""
    with closing(sqlite3.connect(Path(url.removeprefix("sqlite:///")), isolation_level=None)) as connection:
        execute = connection.execute
        ((before,),) = execute(f"SELECT {column} FROM events WHERE id = 4").fetchall()
        execute(f"UPDATE events SET {column} = ? WHERE id = 4", [value])
        execute(WRITABLE)
        (its,) = execute("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master WHERE name = ?", [index])
        execute("DELETE FROM sqlite_master WHERE name = ?", [index])
        execute("PRAGMA writable_schema = reset")
        execute(f"UPDATE events SET {column} = ? WHERE id = 4", [before])
        execute(WRITABLE)
        execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", its)
        execute("PRAGMA writable_schema = reset")
        if own_entry:
            execute(WRITABLE)  # else SQLite would miss the entry that it replaces
            execute(f"UPDATE events SET {column} = {column} WHERE id = 4")


@pytest.mark.parametrize(
    ("own_entry", "finding"),
    [(False, "row 4 missing from index {}"), (True, "wrong # of entries in index {}")],
    ids=["in place of its own entry", "beside its own entry"],
)
@pytest.mark.parametrize(
    ("index", "column", "value", "wanted"),
    some_rows_of(
        [
            ("ix_events_jti", "jti", JTI, EventFilter(jti=JTI)),
            ("ix_events_client_id_id", "client_id", "c-2", EventFilter(client_id="c-2")),
        ],
        each=2,
    ),
    ids=["the id of a token", "an agent"],
)
def test_an_entry_that_leads_to_another_row_is_found(
    log: SealedLog,
    database_url: str,
    index: str,
    column: str,
    value: str,
    wanted: EventFilter,
    own_entry: bool,
    finding: str,
) -> None:
    mislead(database_url, index, column, value, own_entry=own_entry)
    with closing(open_database(database_url)) as database:
        shown = database.read(lambda tx: audit.page(tx, ANN, wanted, limit=200)).items
        report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
    assert 4 in {each.id for each in shown}, "the attack works: the list has an event of somebody else"
    assert f"The database file is damaged: {finding.format(index)}." in report.findings


def store_fractions(url: str, table: str, column: str) -> None:
    """Let the entries of the table's key have fractions, where its rows have integers."""
    key = f"sqlite_autoindex_{table}_1"
    with closing(sqlite3.connect(Path(url.removeprefix("sqlite:///")), isolation_level=None)) as connection:
        execute = connection.execute
        execute(WRITABLE)
        ((genuine,),) = execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchall()
        ((root, number),) = execute("SELECT rootpage, rowid FROM sqlite_master WHERE name = ?", [key]).fetchall()
        loose = re.sub(rf"\b{column} (BIGINT|INTEGER)", f"{column} BLOB", genuine)
        keyless = re.sub(rf",\s*CONSTRAINT \w+ (PRIMARY KEY|UNIQUE) \({column}[\w, ]*\)", "", loose)
        assert genuine != loose != keyless

        def become(definition: str) -> None:
            execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", [definition, table])

        become(loose)
        execute("PRAGMA writable_schema = reset")
        execute(f"UPDATE {table} SET {column} = CAST({column} AS REAL)")
        execute(WRITABLE)
        become(keyless)
        execute("DELETE FROM sqlite_master WHERE name = ?", [key])
        execute("PRAGMA writable_schema = reset")
        execute(f"UPDATE {table} SET {column} = CAST({column} AS INTEGER)")
        execute(WRITABLE)
        become(genuine)
        execute(
            "INSERT INTO sqlite_master (rowid, type, name, tbl_name, rootpage) VALUES (?, 'index', ?, ?, ?)",
            [number, key, table, root],
        )
        execute("PRAGMA writable_schema = reset")


@pytest.mark.parametrize(
    ("table", "column"),
    some_rows_of([("revocations", "sequence"), ("sealed_events", "event_id"), ("checkpoints", "size")]),
)
def test_an_entry_with_a_fraction_in_place_of_an_integer_is_found(
    log: SealedLog, database_url: str, table: str, column: str
) -> None:
    store_fractions(database_url, table, column)
    with closing(sqlite3.connect(Path(database_url.removeprefix("sqlite:///")))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        shown = connection.execute(f"SELECT typeof({column}) FROM {table} ORDER BY {column}").fetchone()
        assert shown == ("real",), "the attack works: a reader gets another number"
    with closing(open_database(database_url)) as database:
        report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
    damaged = f"The index sqlite_autoindex_{table}_1 is damaged: its entry for row"
    assert any(each.startswith(damaged) for each in report.findings)
