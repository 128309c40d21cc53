"""Somebody writes an object into the SQLite file that takes hours to read, to check or to compare.

`verify` is busy for a very long time, or ends with an error of the driver, and reports nothing. Each object here is a
finding within seconds.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.pool import Pool
from pathlib import Path
from time import process_time

import click
import pytest
from audit_answers import fill
from authsec_server.cli import register
from authsec_server.db import open_database
from click.testing import CliRunner
from long_runs import some_of

SECONDS = 40
FOREVER = "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)"
LONG = (  # LIKE computes for hours, and nothing can interrupt SQLite meanwhile
    "replace(hex(zeroblob(5000000)), '0', 'a')"
    " LIKE '%' || substr(replace(hex(zeroblob(25000)), '0', 'a'), 1, 49000) || 'b'"
)
QUOTED = LONG.replace("'", "''")
BY_HAND = "PRAGMA writable_schema = ON"
WAYS = {
    "a trigger": (
        f"CREATE TRIGGER evil AFTER INSERT ON events BEGIN SELECT {FOREVER}; END",
        "The trigger evil of events is unknown to AuthSec",
    ),
    "a view without an end": (f"CREATE VIEW evil AS SELECT {FOREVER}", "The view evil of evil is unknown to AuthSec"),
    "a view in place of a table": (
        "DROP TABLE number_ranges",
        f"CREATE VIEW number_ranges AS SELECT {FOREVER} AS hour, 1 AS lowest, 1 AS highest",
        "The table number_ranges is missing",
    ),
    "a view in place of the version": (
        "DROP TABLE alembic_version",
        f"CREATE VIEW alembic_version AS SELECT {FOREVER} AS version_num",
        "The table alembic_version is missing",
    ),
    "a view with the name of a pragma": (
        f"CREATE VIEW pragma_index_list AS SELECT {FOREVER} AS name",
        f"CREATE VIEW pragma_table_info AS SELECT {FOREVER} AS name",
        "The view pragma_index_list of pragma_index_list is unknown to AuthSec",
    ),
    "a generated column of events": (
        BY_HAND,
        "UPDATE sqlite_schema SET sql = replace(sql, 'client_name TEXT',"
        f" 'client_name TEXT AS ({QUOTED}) VIRTUAL') WHERE name = 'events'",
        "The table events is not what AuthSec expects",
    ),
    "a generated column of another table": (
        "CREATE TABLE evil (x, y TEXT AS (x) VIRTUAL)",
        "INSERT INTO evil VALUES (0)",
        BY_HAND,
        f"UPDATE sqlite_schema SET sql = 'CREATE TABLE evil (x, y TEXT AS ({QUOTED}) VIRTUAL)' WHERE name = 'evil'",
        "The table evil is unknown to AuthSec",
    ),
    "a constraint of events": (
        BY_HAND,
        f"UPDATE sqlite_schema SET sql = substr(sql, 1, length(sql) - 1) || ', CHECK ({QUOTED}))'"
        " WHERE name = 'events'",
        "The table events is not what AuthSec expects",
    ),
    "a condition of an index": (
        BY_HAND,
        "CREATE INDEX evil ON number_ranges (lowest) WHERE lowest IS NULL",
        f"UPDATE sqlite_schema SET sql = sql || ' AND {QUOTED}' WHERE name = 'evil'",
        "The index evil of number_ranges is unknown to AuthSec",
    ),
    "an expression of an index": (
        "CREATE INDEX evil ON events (substr(kind, 1, 1))",
        BY_HAND,
        f"UPDATE sqlite_schema SET sql = 'CREATE INDEX evil ON events ({QUOTED})' WHERE name = 'evil'",
        "The index evil of events is unknown to AuthSec",
    ),
    "a recursive query in an index": (
        "CREATE INDEX evil ON events (substr(kind, 1, 1))",
        BY_HAND,
        f"UPDATE sqlite_schema SET sql = 'CREATE INDEX evil ON events ({FOREVER})' WHERE name = 'evil'",
        "evil",
    ),
    "a virtual table": ("CREATE VIRTUAL TABLE evil USING fts5 (x)", "The table evil is unknown to AuthSec"),
    "a virtual table of an unknown module": (
        BY_HAND,
        "INSERT INTO sqlite_schema VALUES ('table', 'evil', 'evil', 0, 'CREATE VIRTUAL TABLE evil USING unheard (x)')",
        "The table evil is unknown to AuthSec",
    ),
    "a very long text": (
        f"CREATE TABLE evil (x /* {'x, ' * 10_000_000} */)",
        "The table evil is unknown to AuthSec",
    ),
    "a name that is no UTF-8": (
        "CREATE INDEX evil ON events (kind)",
        BY_HAND,
        "UPDATE sqlite_schema SET name = CAST(x'ff65' AS TEXT), sql ="
        " CAST(CAST('CREATE INDEX \"' AS BLOB) || x'ff65' || CAST('\" ON events (kind)' AS BLOB) AS TEXT)"
        " WHERE name = 'evil'",
        r"The index \xffe of events is unknown to AuthSec",
    ),
    "a name that is a number": (
        "PRAGMA ignore_check_constraints = ON",
        f'CREATE TABLE "5" (x, CHECK (x OR {LONG}))',
        'INSERT INTO "5" VALUES (0)',
        "The table 5 is unknown to AuthSec",
    ),
    "text that is no statement": (
        BY_HAND,
        "INSERT INTO sqlite_schema VALUES ('table', 'evil', 'evil', 0, 'CREATE TABLE evil')",
        "malformed database schema (evil)",
    ),
}


def _findings(file: Path) -> str:
    group = click.Group()
    register(group)
    keys = str(file.parent / "keys.json")
    result = CliRunner().invoke(group, ["audit", "verify", "--key", keys, "--database", f"sqlite:///{file}"])
    assert result.exit_code == 3, result.output
    return str(result.output)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("intact") / "authsec.sqlite3"
    with closing(open_database(f"sqlite:///{file}")) as database:
        database.migrate()
        log = fill(database)
    (file.parent / "keys.json").write_text(json.dumps({"keys": [key.to_jwk() for key in log.keys.values()]}))
    return file


@pytest.fixture(scope="module")
def process() -> Iterator[Pool]:
    """A process can be ended while SQLite computes; a thread cannot."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


@pytest.mark.parametrize("way", some_of(WAYS, each=4))
def test_an_object_that_takes_long_is_a_finding_within_seconds(
    intact: Path, process: Pool, tmp_path: Path, way: str
) -> None:
    *statements, finding = WAYS[way]
    shutil.copytree(intact.parent, tmp_path, dirs_exist_ok=True)
    file = tmp_path / intact.name
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    try:
        assert finding in process.apply_async(_findings, (file,)).get(SECONDS)
    except multiprocessing.TimeoutError:
        process.terminate()  # it would answer no other test
        raise


@pytest.mark.soak
def test_very_many_tables_are_compared_at_once(intact: Path, tmp_path: Path) -> None:
    shutil.copytree(intact.parent, tmp_path, dirs_exist_ok=True)
    file = tmp_path / intact.name
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("BEGIN")
        for number in range(4000):
            connection.execute(f"CREATE TABLE evil{number} (x PRIMARY KEY)")
        connection.commit()
    began = process_time()
    findings = _findings(file)
    assert process_time() - began < 5
    assert "And 7,950 others are unknown to AuthSec." in findings
    assert len(findings.splitlines()) < 70
