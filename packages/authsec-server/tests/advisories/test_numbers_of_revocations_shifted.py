"""Somebody gives revocations lower numbers, in the same order: the feed begins with number 1, and skips those below.

An API that starts then never hears of a revoked signing key, for the feed seems whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from audit_answers import LATER, SealedLog, fill
from authsec.clock import Clock
from authsec.verifier.key_set import GivenKeys
from authsec.verifier.revocations.state import Feed
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from databases import settings_for
from long_runs import some_of
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

FEED = "/authsec/v1/revocations"
ISSUER = "http://127.0.0.1:7468"
NONE_OF_OURS = "of revocations has a form that a server does not write."


def add_to_numbers(database: Database, number: int) -> None:
    """In two steps, for each number is unique at any time."""
    for step in (-10_000, 10_000 + number):
        statement = text(f"UPDATE revocations SET sequence = sequence + {step}")
        database.append(lambda tx, its=statement: tx.connection.execute(its) and None)


def findings(database: Database, log: SealedLog) -> str:
    return "\n".join(database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER)).findings)


def test_who_begins_with_the_feed_hears_of_a_revocation_with_a_number_below_one(
    house: Callable[..., Any], database_url: str, tmp_path: Path
) -> None:
    its = house(**settings_for(database_url, tmp_path))
    for kid in ("first", "second"):
        its.authority.database.change(lambda tx, k=kid: revocations.end(tx, SubjectKind.KEY, k, its.clock.at))
    add_to_numbers(its.authority.database, -1)
    door = its.door()
    feed = Feed(ISSUER, GivenKeys(door.get(FEED + "/keys").json()), Clock(wall=lambda: its.clock.at.timestamp()))
    feed.take(door.get(FEED, params={"since": 0}).content)
    assert [feed.ended([("key", kid)], 0) for kid in ("first", "second")] == [True, True]
    add_to_numbers(its.authority.database, -1)
    page = door.get(FEED, params={"since": 0}).json()
    assert (page["snapshot"], len(page["entries"])) == (True, 2), "no reader takes a page without them for whole"


@pytest.mark.parametrize("number", [-1, -100])
def test_a_number_below_one_is_found(database: Database, number: int) -> None:
    log = fill(database)
    assert findings(database, log) == ""
    add_to_numbers(database, number)
    assert f"The row {1 + number} {NONE_OF_OURS}" in findings(database, log)
    assert "has no such row" not in findings(database, log), "the row is there"


def test_a_number_that_no_reader_takes_is_found(database: Database) -> None:
    log = fill(database)
    add_to_numbers(database, 2**53)
    assert f"The row {2**53 + 1} {NONE_OF_OURS}" in findings(database, log)


def test_higher_numbers_are_not_found(database: Database) -> None:
    """A restore gives such numbers, and each reader gets a snapshot then."""
    log = fill(database)
    add_to_numbers(database, 1_000_000)
    assert findings(database, log) == ""


def test_a_gap_in_the_numbers_is_found(database: Database) -> None:
    """No reader takes a page that leaves out a number."""
    log = fill(database)
    last = database.read(revocations.last)
    moved = text(f"UPDATE revocations SET sequence = {last + 5} WHERE sequence = {last}")
    database.append(lambda tx: tx.connection.execute(moved) and None)
    assert f"The row {last + 5} of revocations does not follow the previous row, {last - 1}." in findings(database, log)


@pytest.mark.parametrize("column", some_of(["sequence", "version"]))
@pytest.mark.parametrize("value", [float, str, str.encode, lambda _: b"\xff", lambda _: "\ud800"])
def test_a_number_of_another_type_is_found(database: Database, column: str, value: Callable[[Any], Any]) -> None:
    """Another schema is written for a moment, and SQLite stores any type in the column."""
    if database.dialect != "sqlite":
        pytest.skip("PostgreSQL stores integers only")
    log = fill(database)
    row = database.read(lambda tx: tx.connection.exec_driver_sql("PRAGMA database_list").one())
    newest = database.read(revocations.last)
    with closing(sqlite3.connect(row.file)) as there:
        schema = there.execute("SELECT sql FROM sqlite_master WHERE name = 'revocations'").fetchone()[0]
        number = there.execute(f"SELECT {column} FROM revocations WHERE sequence = ?", (newest,)).fetchone()[0]
    stored = value(number) if value is float else value(str(number))
    with_schema(row.file, schema.replace("BIGINT", "BLOB"))
    with closing(sqlite3.connect(row.file)) as there:
        kept = stored.encode("utf-8", "surrogatepass") if isinstance(stored, str) else stored
        new = "CAST(? AS TEXT)" if isinstance(stored, str) else "?"
        there.execute(f"UPDATE revocations SET {column} = {new} WHERE sequence = ?", (kept, newest))
        there.commit()
    with_schema(row.file, schema)
    assert NONE_OF_OURS in findings(database, log)


def with_schema(file: str, schema: str) -> None:
    with closing(sqlite3.connect(file)) as there:
        there.execute("PRAGMA writable_schema = 1")
        there.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'revocations'", (schema,))
        version = there.execute("PRAGMA schema_version").fetchone()[0]
        there.execute(f"PRAGMA schema_version = {version + 1}")
        there.commit()
