"""Units of work and the authority lock, the same promises on both databases."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import authsec_server
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.db import Database, Tx, metadata, open_database, postgresql
from authsec_server.db.database import Access
from authsec_server.db.locks import MIGRATION_LOCK
from authsec_server.db.postgresql import is_outage
from authsec_server.db.postgresql_connection import PING_SECONDS, session_options
from authsec_server.db.served import (
    last_checkpoints_file,
    last_issuer,
    proves_issuer,
    remember_checkpoints_file,
    remember_issuer,
)
from authsec_server.db.sqlite_open_files import identity, open_files
from authsec_server.failures import Fault, StartupRefused, Unavailable
from authsec_server.principal import Act
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError


def version(tx: Tx) -> int:
    return tx.version


def test_a_change_raises_the_version_and_nothing_else_does(database: Database) -> None:
    assert database.read(version) == 0
    assert database.change(version) == 1
    assert database.record(version) == 1
    assert database.append(version) == 1
    assert database.change(version) == 2


def test_the_file_of_checkpoints_of_the_last_start_is_known_to_whoever_opens_the_database(database: Database) -> None:
    assert database.read(last_checkpoints_file) == ""
    for file, kept in (
        (Path("/elsewhere/checkpoints"), "/elsewhere/checkpoints"),
        (Path("checkpoints"), str(Path.cwd() / "checkpoints")),
    ):
        database.append(lambda tx, file=file: remember_checkpoints_file(tx, file))
        assert database.read(last_checkpoints_file) == kept
    database.append(lambda tx: remember_checkpoints_file(tx, None))
    assert database.read(last_checkpoints_file) == ""


def test_a_database_is_empty_until_its_schema_is_made(empty_database_url: str) -> None:
    with closing(open_database(empty_database_url)) as database:
        assert database.is_empty()
        database.migrate()
        assert not database.is_empty()


def test_the_issuer_of_the_last_start_is_known_to_whoever_opens_the_database(database: Database) -> None:
    assert database.read(last_issuer) == ""
    for issuer in ("http://127.0.0.1:7468", "https://authsec.example.com"):
        database.append(lambda tx, issuer=issuer: remember_issuer(tx, issuer, b"key"))
        assert database.read(last_issuer) == issuer
        assert [database.read(lambda tx, key=key: proves_issuer(tx, key)) for key in (b"key", b"other")] == [
            True,
            False,
        ]
    assert database.read(version) == 0


def test_a_failed_change_leaves_the_version_alone(database: Database) -> None:
    def fail(tx: Tx) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        database.change(fail)
    assert database.read(version) == 0


def test_what_fails_takes_no_one_along(database: Database) -> None:
    """Writers that wait together share a commit on SQLite; one that fails must not undo the others."""
    started = threading.Event()

    def slow(tx: Tx) -> int:
        started.wait(5)
        return tx.version

    def fail(tx: Tx) -> int:
        raise ValueError("mine alone")

    outcomes: dict[int, object] = {}

    def run(number: int) -> None:
        try:
            outcomes[number] = database.change([slow, fail, version][number % 3])
        except ValueError as error:
            outcomes[number] = str(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    started.set()
    for thread in threads:
        thread.join()
    assert [outcomes[number] for number in range(1, 12, 3)] == ["mine alone"] * 4
    assert sorted(value for value in outcomes.values() if isinstance(value, int)) == list(range(1, 9))


def test_a_recorder_never_sees_the_version_move(database: Database) -> None:
    recording, changed = threading.Event(), threading.Event()

    def record(tx: Tx) -> bool:
        recording.set()
        return changed.wait(0.3)

    def change() -> None:
        recording.wait(5)
        database.change(version)
        changed.set()

    changer = threading.Thread(target=change)
    changer.start()
    assert database.record(record) is False, "a change was committed inside a recorder's transaction"
    changer.join()
    assert database.read(version) == 1


def test_a_read_sees_one_moment(database: Database) -> None:
    def look_twice(tx: Tx) -> tuple[int, int]:
        database.change(version)
        again: int = tx.connection.execute(text("SELECT version FROM authority")).scalar_one()
        return tx.version, again

    assert database.read(look_twice) == (0, 0)


def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"read-only|readonly|cannot be read"):
        database.read(lambda tx: tx.connection.execute(text("UPDATE authority SET version = 9")))
    assert database.read(version) == 0


def test_the_migrations_make_what_the_stores_declare(database: Database) -> None:
    for module in pkgutil.walk_packages(authsec_server.__path__, "authsec_server."):
        if module.name.endswith(".store"):
            importlib.import_module(module.name)

    def differences(tx: Tx) -> list[object]:
        def ours(_object: object, name: str | None, kind: str, _reflected: bool, _compare: object) -> bool:
            return not (kind == "table" and name is not None and name.startswith("events_"))  # partitions

        context = MigrationContext.configure(tx.connection, opts={"compare_type": True, "include_object": ours})
        return list(compare_metadata(context, metadata))

    assert database.read(differences) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.change(version)
    database.migrate()
    assert database.read(version) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_server_waits_while_another_one_migrates(database: Database, database_url: str) -> None:
    """For longer than a connection out of the pool may take to answer."""
    other = create_engine(database_url)
    with other.begin() as connection:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        waiting = threading.Thread(target=database.migrate)
        waiting.start()
        waiting.join(PING_SECONDS + 1)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()
    other.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.usefixtures("database")
def test_a_server_that_has_waited_long_for_a_migration_waits_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts again to wait for this fault, and calls no database unreachable that it reached."""
    monkeypatch.setattr(postgresql, "session_options", lambda: f"{session_options()} -c lock_timeout=50")
    other = create_engine(database_url)
    with other.begin() as connection, closing(open_database(database_url)) as waiting:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        with pytest.raises(Unavailable, match="kept a lock too long") as raised:
            waiting.migrate()
        assert raised.value.fault is Fault.AUTHORITY_LOCKED
    other.dispose()


@pytest.mark.parametrize(
    ("revision", "why"),
    [
        ("9999", r"made by a newer AuthSec .*The schema needs AuthSec 999.0 or newer, and this version is"),
        ("x", "which no AuthSec makes"),
        ("0022", "made by a version before the first release"),
    ],
)
def test_a_schema_of_another_version_is_refused(database: Database, revision: str, why: str) -> None:
    database.append(partial(set_revision, revision=revision))
    database.append(lambda tx: tx.connection.execute(text("UPDATE authority SET oldest_release = '999.0'")))
    with pytest.raises(StartupRefused, match=why):
        database.migrate()


def set_revision(tx: Tx, revision: str) -> None:
    tx.connection.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": revision})


@pytest.mark.parametrize(
    "url", ["sqlite:////nonexistent-folder/authsec.sqlite3", "postgresql+psycopg://nobody@127.0.0.1:1/none"]
)
def test_a_database_that_is_away_says_so(url: str) -> None:
    database = open_database(url)
    with pytest.raises(Unavailable):
        database.migrate()
    with pytest.raises(Unavailable):
        database.read(version)
    with pytest.raises(Unavailable):
        database.record(version)
    database.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_events_of_a_month_without_a_partition_are_kept_and_moved(database: Database, act: Act) -> None:
    """A month nobody prepared: its rows wait in the default partition and must not be in the way later."""
    before = database.record(lambda tx: audit.record_act(tx, act, EventKind.KEY_CREATED))
    for _ in range(2):
        database.append(lambda tx: audit.prepare_months(tx, act.now))
    after = database.record(lambda tx: audit.record_act(tx, act, EventKind.KEY_CREATED))

    def numbers(tx: Tx, table: str) -> list[int]:
        return list(tx.connection.execute(text(f"SELECT id FROM {table} ORDER BY id")).scalars())

    month = f"events_{act.now:%Y_%m}"
    assert database.read(lambda tx: [numbers(tx, name) for name in ("events", month, "events_default")]) == [
        [before, after],
        [before, after],
        [],
    ]


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.ReadOnlySqlTransaction(),  # after a failover, when the old address leads to a standby
        psycopg.errors.FeatureNotSupported("cannot acquire lock during recovery"),
        psycopg.errors.AdminShutdown(),
        psycopg.errors.CannotConnectNow(),
        psycopg.errors.DiskFull(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_server_cannot_do_now_is_an_outage(error: psycopg.Error) -> None:
    """503 and later again, not 500 and never."""
    assert is_outage(DBAPIError("", None, error), Access.RECORD)


def test_a_mistake_of_ours_is_no_outage() -> None:
    for error in (psycopg.errors.UniqueViolation(), psycopg.errors.UndefinedTable(), psycopg.errors.SyntaxError()):
        assert not is_outage(DBAPIError("", None, error), Access.RECORD)
    assert not is_outage(DBAPIError("", None, psycopg.errors.ReadOnlySqlTransaction()), Access.READ)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_session_that_is_ended_is_an_outage_and_the_next_one_works(database: Database) -> None:
    end_me = text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(Unavailable):
        database.record(lambda tx: tx.connection.execute(end_me))
    assert database.record(version) == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_option_nobody_knows_is_named_without_the_url(database_url: str) -> None:
    database = open_database(f"{database_url}&bogus=hunter2")
    with pytest.raises(StartupRefused, match="option"):
        database.migrate()
    database.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("database")
def test_a_read_that_ends_after_the_close_leaves_no_file_open(database_url: str) -> None:
    begun, closed = threading.Event(), threading.Event()
    file = identity(Path(database_url.removeprefix("sqlite:///")))
    before = list(open_files().values()).count(file)
    database = open_database(database_url)

    def slow(tx: Tx) -> None:
        version(tx)
        begun.set()
        assert closed.wait(10)

    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(database.read, slow)
        assert begun.wait(10)
        database.close()
        closed.set()
        reading.result(10)
    assert list(open_files().values()).count(file) == before
