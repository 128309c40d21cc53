"""Random changes of the database: whenever a reader's answer about a covered event changes, `verify` finds it.

The attacker writes to the database file, or sends any SQL as its owner, and has no key. Covered are the events below a
checkpoint that was kept elsewhere. A change that alters no answer may be found or not.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from audit_answers import LATER, SealedLog, answers, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx, open_database
from authsec_server.failures import Failure
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgresql_pages import exchange
from reused_postgresql import RECOVERY_SECONDS
from sqlalchemy.exc import DBAPIError

TABLES = {
    "events": (
        *("id", "at", "kind", "request_id", "principal_kind", "principal_id", "principal_name", "principal_role"),
        *("client_id", "client_name", "delegations", "roles", "subject_id", "subject_name", "decision", "reason"),
        *("address", "authority_version", "jti", "kid", "token_sha256", "expires_at", "detail", "occurrences"),
        "count_key",
    ),
    "event_delegations": ("delegation_id", "event_id"),
    "sealed_events": ("position", "event_id", "hash"),
    "checkpoints": ("size", "at", "signed"),
    "number_ranges": ("hour", "lowest", "highest"),
    "revocations": ("sequence", "subject_kind", "subject_id", "version", "at"),
}
# Tables in which a reader's slug is looked up. Rows are not copied: a slug that no event gave leads to no event.
NAMING = {"clients": ("id", "slug"), "delegations": ("id", "slug", "client_id")}
ROLLED_UP = {
    "hourly_counts": ("hour", "kind", "reason", "occurrences"),
    "client_counts": ("client_id", "hour", "kind", "reason", "occurrences"),
    "daily_uses": ("subject_id", "day", "action", "tokens"),
    "last_uses": ("subject_id", "month", "granted_at", "refused_at", "refused_reason"),
    "counted": ("until",),
}
INDEXES = (
    *("ix_events_client_id_id", "ix_events_client_id_expires_at", "ix_events_request_id", "ix_events_jti"),
    *("uq_events_at_count_key", "ix_events_denied_id", "ix_events_denied_reason_id", "ix_events_denied_client_id_id"),
    *("ix_events_act_id", "ix_events_act_kind_id", "ix_events_principal_id", "ix_events_subject_id_id"),
    "ix_client_counts_refused_hour",
)
FILES = """
SELECT c.oid::regclass::text, pg_read_binary_file(pg_relation_filepath(c.oid))
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relkind IN ('r', 'i') AND pg_relation_size(c.oid) > 0 AND (
    c.relnamespace = 'public'::regnamespace
    OR c.oid IN (SELECT reltoastrelid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    OR i.indrelid IN (SELECT reltoastrelid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
)
ORDER BY 1
"""
COLUMNS = [(table, column) for table, columns in (TABLES | ROLLED_UP | NAMING).items() for column in columns]
VALUES = (
    "NULL",
    "''",
    "'x'",
    "7",
    "-1",
    "'c-1'",
    "'d-2'",
    "'agent-2'",
    "'token.issued'",
    "'[]'",
    "'2026-11-25 12:00:00.000000'",
)
EXPRESSIONS = (
    *("{c} || ' '", "upper({c})", "replace({c}, '\"', '\" ')", "replace({c}, ' ', 'T')", "substr({c}, 1, 19)"),
    *("{c} + 1", "{c} - 1", "replace({c}, '1', '2')", "replace({c}, '-', '\\u002d')"),
)


def _update(draw: st.DrawFn, which: str) -> str:
    table, column = draw(st.sampled_from(COLUMNS))
    value = draw(st.sampled_from([*VALUES, *(each.format(c=column) for each in EXPRESSIONS)]))
    return f"UPDATE {table} SET {column} = {value} {which.format(t=table)}"


def _delete(draw: st.DrawFn, which: str) -> str:
    table = draw(st.sampled_from([*TABLES, *ROLLED_UP, *NAMING]))
    return f"DELETE FROM {table} {which.format(t=table)}"


def _copy(draw: st.DrawFn, which: str) -> str:
    """One more row, like one that is there but for a column."""
    table, column = draw(st.sampled_from([each for each in COLUMNS if each[0] not in NAMING]))
    columns = (TABLES | ROLLED_UP)[table]
    value = draw(st.sampled_from([*VALUES, f"{column} + 1000"]))
    given = [value if each == column else each for each in columns]
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(given)} FROM {table} {which.format(t=table)}"


def _index(draw: st.DrawFn, which: str) -> str:
    index = draw(st.sampled_from(INDEXES))
    table = "client_counts" if index.startswith("ix_client_counts") else "events"
    column = draw(st.sampled_from(["id", "client_id", "at"] if table == "events" else ["client_id", "hour"]))
    number = draw(st.integers(1, 30))
    again = f"CREATE INDEX {index} ON {table} ({column})" + (f" WHERE id != {number}" if table == "events" else "")
    return draw(st.sampled_from([f"DROP INDEX {index}", f"DROP INDEX {index}; {again}"]))


def _shadow(draw: st.DrawFn, which: str) -> str:
    table = draw(st.sampled_from([*TABLES, *ROLLED_UP, *NAMING]))
    some = which.format(t=f"{table}_2") or "WHERE 1 = 1"
    return f"ALTER TABLE {table} RENAME TO {table}_2; CREATE VIEW {table} AS SELECT * FROM {table}_2 {some}"


def _swap(draw: st.DrawFn, which: str) -> str:
    table, name = draw(st.sampled_from([("clients", "agent-{}"), ("delegations", "delegation-{}")]))
    one, other = (name.format(each) for each in draw(st.permutations(range(3)))[:2])
    pairs = ((one, "between"), (other, one), ("between", other))
    return "; ".join(f"UPDATE {table} SET slug = '{new}' WHERE slug = '{old}'" for old, new in pairs)


WAYS: tuple[Callable[[st.DrawFn, str], str], ...] = (_update, _update, _update, _delete, _copy, _index, _shadow)


@st.composite
def sqlite_changes(draw: st.DrawFn) -> str:
    """SQL for SQLite."""
    row = f"(SELECT rowid FROM {{t}} LIMIT 1 OFFSET {draw(st.integers(0, 30))})"
    which = draw(st.sampled_from([f"WHERE rowid = {row}", "", f"WHERE rowid % {draw(st.integers(2, 5))} = 1"]))
    if draw(st.integers(0, 9)) == 0:
        return _of_sqlite_only(draw)
    statement = draw(st.sampled_from((*WAYS, _swap)))(draw, which)
    return statement.replace("rowid", "event_id") if "event_delegations" in statement else statement


def _of_sqlite_only(draw: st.DrawFn) -> str:
    index, other = draw(st.sampled_from(INDEXES)), draw(st.sampled_from(INDEXES))
    number = draw(st.integers(1, 30))
    table, column = draw(st.sampled_from(COLUMNS))
    cast = draw(st.sampled_from(["BLOB", "TEXT", "REAL", "INTEGER"]))
    master = "PRAGMA writable_schema = ON; UPDATE sqlite_master SET"
    root = f"(SELECT rootpage FROM sqlite_master WHERE name = '{other}')"
    return draw(
        st.sampled_from(
            [
                f"UPDATE {table} SET {column} = CAST({column} AS {cast})",
                f"ANALYZE; UPDATE sqlite_stat1 SET stat = '1 1 1' WHERE idx = '{index}'",
                f"{master} rootpage = {root} WHERE name = '{index}'",
                f"{master} sql = sql || ' WHERE id != {number}' WHERE name = '{index}'",
                f"{master} sql = replace(sql, 'VARCHAR(36)', 'VARCHAR(36) COLLATE NOCASE') WHERE name = 'events'",
                f"PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name = '{index}'",
                f"CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events WHERE id = {number}; END",
                f"UPDATE sqlite_sequence SET seq = {number}",
            ]
        )
    )


@st.composite
def postgresql_changes(draw: st.DrawFn) -> str:
    """SQL for PostgreSQL."""
    row = f"(SELECT ctid FROM {{t}} OFFSET {draw(st.integers(0, 30))} LIMIT 1)"
    which = draw(st.sampled_from([f"WHERE ctid = {row}", ""]))
    if draw(st.integers(0, 9)) == 0:
        return _of_postgresql_only(draw)
    return draw(st.sampled_from((*WAYS, _swap)))(draw, which)


def _of_postgresql_only(draw: st.DrawFn) -> str:
    index, number = draw(st.sampled_from(INDEXES)), draw(st.integers(1, 30))
    table, column = draw(st.sampled_from(COLUMNS))
    parts = f"(SELECT inhrelid FROM pg_inherits WHERE inhparent = '{index}'::regclass UNION SELECT '{index}'::regclass)"
    returns = draw(st.sampled_from(["NULL", "OLD", "NEW"]))
    function = f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN {returns}; END $$"
    when = draw(st.sampled_from(["BEFORE INSERT", "BEFORE UPDATE", "BEFORE DELETE"]))
    return draw(
        st.sampled_from(
            [
                f"{function}; CREATE TRIGGER t {when} ON {table} FOR EACH ROW EXECUTE FUNCTION f();"
                f" UPDATE {table} SET {column} = NULL; DELETE FROM {table}",
                f"CREATE RULE r AS ON INSERT TO {table} DO INSTEAD NOTHING",
                f"ANALYZE; UPDATE pg_class SET reltuples = 0, relpages = 0 WHERE oid = '{table}'::regclass",
                f"ANALYZE; UPDATE pg_statistic SET stanullfrac = 1 WHERE starelid = '{table}'::regclass",
                f"UPDATE pg_index SET indisvalid = false WHERE indexrelid IN {parts}",
                f"UPDATE pg_index SET indisunique = true WHERE indexrelid IN {parts}; SET LOCAL enable_seqscan = off",
                f"UPDATE pg_class SET relhassubclass = false WHERE oid = '{table}'::regclass",
                f"UPDATE pg_inherits SET inhdetachpending = true WHERE inhparent = '{table}'::regclass",
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
                f"ALTER TABLE {table} RENAME COLUMN {column} TO {column}_2",
                f"SELECT setval(pg_get_serial_sequence('events', 'id'), {number})",
            ]
        )
    )


@dataclass
class Filled:
    """A SQLite file to be copied, with what its readers say."""

    path: Path
    log: SealedLog


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Filled:
    path = Path(shutil.copy(migrated_file, tmp_path_factory.mktemp("filled")))
    with closing(open_database(f"sqlite:///{path}")) as database:
        log = fill(database)
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA journal_mode = DELETE")  # one file, to be copied
    assert len({str(each) for each in log.answers.values()}) > 20, "the readers have something to say"
    return Filled(path, log)


def _asked(change: object, log: SealedLog) -> list[str]:
    """The readers that are asked after this change: in every run a third of them, always the same; in long runs all."""
    names = sorted(log.answers)
    if settings.get_current_profile_name() == "full":
        return names
    return names[crc32(repr(change).encode()) % 3 :: 3]


def _hidden(database: Database, log: SealedLog, change: object) -> list[str]:
    """The readers whose answer has changed, unless the check finds something."""
    try:
        if not database.read(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER)).as_sealed:
            return []
        now = database.read(lambda tx: answers(tx, log.covered, _asked(change, log)))
    except (Failure, DBAPIError):
        return []  # the file cannot be read: nobody takes that for a good answer
    return [name for name in now if now[name] != log.answers[name]]


def _for_many(examples: int, what: st.SearchStrategy[Any], test: Callable[[Any], None]) -> None:
    """Run the test for so many values. Each run draws others: in CI, Hypothesis would draw the same ones each time."""
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    settings(max_examples=examples, suppress_health_check=quiet, derandomize=False)(given(what)(test))()


def _many(examples: int) -> pytest.MarkDecorator:
    """In every run, `verify` finds so many changes by tables and schema; in long runs it asks as readers, too."""
    marks = [pytest.mark.soak, pytest.mark.asks_readers]
    return pytest.mark.parametrize("examples", [examples, pytest.param(3000, marks=marks)])


@_many(6)
def test_whatever_sql_does_to_a_sqlite_file_is_found(filled: Filled, tmp_path: Path, examples: int) -> None:
    def attack(change: str) -> None:
        path = Path(shutil.copy(filled.path, tmp_path / "copy.sqlite3"))
        with closing(sqlite3.connect(path, isolation_level=None)) as plain, suppress(sqlite3.Error):
            plain.execute("PRAGMA synchronous = OFF")
            plain.executescript(change)  # half of it may be done where it fails: that is a change as well
        with _opened(path) as database:
            assert _hidden(database, filled.log, change) == [], change

    _for_many(examples, sqlite_changes(), attack)


@_many(6)
def test_whatever_is_written_into_a_sqlite_file_is_found(filled: Filled, tmp_path: Path, examples: int) -> None:
    content, path = filled.path.read_bytes(), tmp_path / "copy.sqlite3"

    def attack(change: tuple[int, bytes]) -> None:
        at, octets = change
        path.write_bytes(content[:at] + octets + content[at + len(octets) :])
        with _opened(path) as database:
            assert _hidden(database, filled.log, change) == [], change

    _for_many(examples, st.tuples(st.integers(0, len(content) - 3), st.binary(min_size=1, max_size=3)), attack)


class _Undone(Exception):
    """Rolls the change back."""


@_many(3)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_whatever_sql_does_to_postgresql_is_found(database: Database, examples: int) -> None:
    log = fill(database)

    def attack(change: str) -> None:
        hidden: list[str] = []

        def attempt(tx: Tx) -> None:
            tx.connection.exec_driver_sql(change)
            hidden.extend(_hidden_in(tx, log, change))
            raise _Undone

        with suppress(_Undone, Failure, DBAPIError):  # what PostgreSQL refuses is no change
            database.append(attempt)
        assert hidden == [], change

    _for_many(examples, postgresql_changes(), attack)


@_many(3)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_whatever_is_written_into_a_file_of_postgresql_is_found(database: Database, examples: int) -> None:
    log = fill(database)
    database.append(lambda tx: tx.connection.exec_driver_sql("CHECKPOINT") and None)  # all is in the files
    files = database.read(lambda tx: tx.connection.exec_driver_sql(FILES).all())
    used = [(name, at) for name, content in files for at, octet in enumerate(content) if octet]

    def attack(change: tuple[tuple[str, int], bytes]) -> None:
        (relation, at), octets = change
        hidden: list[str] = []

        def write(content: bytearray) -> None:
            content[at : at + len(octets)] = octets[: len(content) - at]

        def attempt(tx: Tx) -> None:
            exchange(tx, relation, write)
            hidden.extend(_hidden_in(tx, log, change))
            raise _Undone

        try:
            database.append(attempt)
        except _Undone:
            assert hidden == [], change
        except (Failure, DBAPIError):  # what PostgreSQL cannot read is no good answer
            _wait_for(database)

    _for_many(examples, st.tuples(st.sampled_from(used), st.binary(min_size=1, max_size=3)), attack)
    assert database.read(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER)).findings == ()


def _wait_for(database: Database) -> None:
    """PostgreSQL crashes at some octets, and recovers."""
    last = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < last:
        with suppress(Failure, DBAPIError):  # it still recovers
            return database.read(lambda _: None)
        time.sleep(0.1)
    return None


def _hidden_in(tx: Tx, log: SealedLog, change: object) -> list[str]:
    """The readers whose answer has changed in this transaction, unless the check finds something."""
    if not verify(tx, log.keys, [log.checkpoint], now=LATER).as_sealed:
        return []
    now = answers(tx, log.covered, _asked(change, log))
    return [name for name in now if now[name] != log.answers[name]]


def _opened(path: Path) -> Any:
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    return closing(open_database(f"sqlite:///{path}"))
