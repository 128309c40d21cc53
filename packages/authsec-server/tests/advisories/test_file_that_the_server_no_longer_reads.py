"""SQLite: the running server reads another schema or another file than `authsec audit verify` finds at the path."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from audit_answers import CLIENTS, LATER, SealedLog, answers, fill
from authsec_server.audit import live_tokens
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx, open_database, sqlite
from authsec_server.failures import Fault, Unavailable
from sqlalchemy import text


@pytest.fixture
def file(tmp_path: Path, migrated_file: Path) -> Path:
    path = tmp_path / "authsec.sqlite3"
    path.write_bytes(migrated_file.read_bytes())
    return path


@pytest.fixture
def log(file: Path) -> SealedLog:
    database = open_database(f"sqlite:///{file}")
    filled = fill(database)
    database.close()
    return filled


@pytest.fixture
def server(file: Path, log: SealedLog) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{file}")
    opened.read(lambda tx: tx.version)
    yield opened
    opened.close()


def said(server: Database, log: SealedLog) -> dict[str, Any]:
    return server.read(lambda tx: answers(tx, log.covered))


def findings(file: Path, log: SealedLog) -> tuple[str, ...]:
    auditor = open_database(f"sqlite:///{file}")
    try:
        return auditor.read(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER)).findings
    finally:
        auditor.close()


def write_schema(file: Path, before: str, after: str, cookie: int) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = on")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = 'ix_events_jti'", (before, after)
        )
        connection.execute(f"PRAGMA schema_version = {cookie}")


@pytest.mark.soak  # a replaced file is in every run
def test_a_schema_that_was_written_back_under_its_cookie_is_read_again(
    file: Path, log: SealedLog, server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = said(server, log)
    with closing(sqlite3.connect(file)) as connection:
        (cookie,) = connection.execute("PRAGMA schema_version").fetchone()
    write_schema(file, "(jti)", "(jti DESC)", cookie + 1)
    assert said(server, log) != genuine
    assert findings(file, log) != ()
    write_schema(file, "(jti DESC)", "(jti)", cookie + 1)
    assert findings(file, log) == ()
    passed = sqlite.monotonic() + sqlite.RELOAD_SECONDS
    monkeypatch.setattr(sqlite, "monotonic", lambda: passed)
    assert said(server, log) == genuine


@pytest.mark.parametrize("moved", ["", "-wal", "-shm"])
def test_a_file_that_is_replaced_under_the_server_is_refused(
    moved: str, file: Path, log: SealedLog, server: Database
) -> None:
    path = Path(f"{file}{moved}")
    aside = path.rename(path.with_suffix(".aside"))
    path.write_bytes(aside.read_bytes())
    with pytest.raises(Unavailable) as refusal:
        said(server, log)
    assert refusal.value.fault is Fault.REPLACED
    assert str(path) in refusal.value.message
    aside.replace(path)
    assert said(server, log)


def test_a_log_that_sqlite_deleted_and_made_again_is_no_replaced_file(file: Path, server: Database) -> None:
    """A server that has no connection open for a moment, and a command that has: nobody replaced a file."""
    server.close()
    with closing(sqlite3.connect(file)) as command:
        command.execute("SELECT count(*) FROM events").fetchone()
        Path(f"{file}-wal").touch()
        assert server.read(lambda tx: tx.version) > 0


def tokens(tx: Tx) -> list[str]:
    """The tokens that a dry run shows."""
    return sorted(map(repr, live_tokens.of_clients(tx, LATER, CLIENTS).tokens))


@pytest.mark.parametrize(
    "read", [lambda server: server.rehearse(tokens), lambda server: server.read(tokens)], ids=["dry run", "list"]
)
def test_pages_that_were_put_back_are_read_again(
    read: Callable[[Database], list[str]],
    file: Path,
    log: SealedLog,
    server: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    genuine = file.read_bytes()
    overwrite(file, genuine.replace(b"Agent 1", b"Nobody!"))
    forged = read(server)
    overwrite(file, genuine)
    assert any("Nobody!" in each for each in forged)
    assert read(server) == forged
    assert findings(file, log) == ()
    passed = sqlite.monotonic() + sqlite.RELOAD_SECONDS
    monkeypatch.setattr(sqlite, "monotonic", lambda: passed)
    assert not any("Nobody!" in each for each in read(server))


def overwrite(file: Path, octets: bytes) -> None:
    with file.open("r+b") as opened:
        opened.write(octets)


class Swapped:
    """Another file is at a path while a connection is opened, the first so many times."""

    def __init__(self, path: Path, forged: Path, *, times: int) -> None:
        self._path, self._forged, self._times = path, forged, times
        self._away = path.with_name("away")

    def connect(self, *arguments: Any, **named: Any) -> sqlite3.Connection:
        if not self._times:
            return sqlite3.dbapi2.connect(*arguments, **named)
        self._times -= 1
        self._path.rename(self._away)
        self._forged.rename(self._path)
        try:
            connection = sqlite3.dbapi2.connect(*arguments, **named)
            connection.execute("SELECT 1 FROM events").fetchone()
            return connection
        finally:
            self._path.rename(self._forged)
            self._away.rename(self._path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not say which files are open")
@pytest.mark.parametrize("times", [1, sqlite._OPENINGS])
@pytest.mark.parametrize("begun", [False, True], ids=["the first connection", "another connection"])
def test_a_file_that_is_at_the_path_only_while_it_is_opened_is_not_read(
    file: Path, log: SealedLog, monkeypatch: pytest.MonkeyPatch, begun: bool, times: int
) -> None:
    forged = file.with_name("forged")
    forged.write_bytes(file.read_bytes())
    with closing(sqlite3.connect(forged)) as connection:
        connection.execute("DELETE FROM events WHERE id = 4")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    server = open_database(f"sqlite:///{file}")
    try:
        if begun:
            server.read(lambda tx: tx.version)
        with server._readers.connect() if begun else nullcontext():  # a reader that is busy, so another is opened
            monkeypatch.setattr(sqlite3, "connect", Swapped(file, forged, times=times).connect)
            if times == 1:
                assert 4 in server.read(numbers)
            else:
                with pytest.raises(Unavailable) as raised:
                    server.read(numbers)
                assert raised.value.fault is Fault.REPLACED
        assert 4 in server.read(numbers)
    finally:
        server.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not say which files are open")
@pytest.mark.parametrize("beginning", [None, bytes(4)], ids=["as it was", "none that SQLite would know"])
def test_a_wal_file_that_is_at_its_path_only_while_it_is_opened_is_not_read(
    file: Path, log: SealedLog, monkeypatch: pytest.MonkeyPatch, beginning: bytes | None
) -> None:
    """SQLite compares no checksum of a frame that it reads, nor the file's header while the index is valid."""
    server = open_database(f"sqlite:///{file}")
    try:
        statement = text("UPDATE events SET address = '192.0.2.77' WHERE id = 4")
        server.append(lambda tx: tx.connection.execute(statement) and None)
        wal, forged = Path(f"{file}-wal"), file.with_name("forged")
        content = wal.read_bytes().replace(b"192.0.2.77", b"203.0.113.")
        forged.write_bytes(content if beginning is None else beginning + content[len(beginning) :])
        with server._readers.connect():
            monkeypatch.setattr(sqlite3, "connect", Swapped(wal, forged, times=1).connect)
            address = text("SELECT address FROM events WHERE id = 4")
            assert server.read(lambda tx: tx.connection.execute(address).scalar()) == "192.0.2.77"
    finally:
        server.close()


def numbers(tx: Tx) -> list[int]:
    return list(tx.connection.exec_driver_sql("SELECT id FROM events").scalars())
