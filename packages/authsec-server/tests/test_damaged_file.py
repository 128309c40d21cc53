"""A SQLite file that is damaged while it is served: everybody is told to come back, and nothing is written any more."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from authsec_server.db import Database, Tx, open_database
from authsec_server.db.served import last_issuer
from authsec_server.failures import Fault, OutcomeUnknown, Unavailable
from long_runs import some_of
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PAGE = 4096


def version(tx: Tx) -> int:
    return tx.version


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def checkpoint(path: Path) -> None:
    """Bring all that is in the write-ahead log into the file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def root_page(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", [table]).fetchone()
    return int(found[0])


def overwrite(path: Path, page: int) -> None:
    """Fill a page with what is none."""
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xa5" * PAGE)


def damage(path: Path, table: str) -> None:
    checkpoint(path)
    overwrite(path, root_page(path, table))


@pytest.mark.parametrize("verb", ["read", "append", "record", "change", "rehearse"])
def test_a_malformed_page_is_unavailable_and_is_remembered(database_url: str, verb: str) -> None:
    damage(file_of(database_url), "authority")
    database = open_database(database_url)
    assert database.damaged is None
    with pytest.raises(Unavailable) as raised:
        getattr(database, verb)(version)
    assert raised.value.fault is Fault.DAMAGED
    assert raised.value.retry_after > 1
    assert database.damaged == "database disk image is malformed"
    database.close()


def test_a_file_that_is_no_database_any_more_is_damaged(database_url: str) -> None:
    path = file_of(database_url)
    checkpoint(path)
    database = open_database(database_url)
    path.write_bytes(b"something else entirely" * 1000)
    with pytest.raises(Unavailable):
        database.read(version)
    assert database.damaged == "file is not a database"
    database.close()


@pytest.mark.parametrize("verb", ["read", "append"])
def test_a_definition_that_is_no_utf_8_is_damaged(database_url: str, verb: str) -> None:
    """SQLite quotes it in its error, which the driver cannot decode then."""
    path = file_of(database_url)
    checkpoint(path)
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE clients (", b"CREATE TAB\x80E clients ("))
    database = open_database(database_url)
    with pytest.raises(Unavailable) as raised:
        getattr(database, verb)(version)
    assert raised.value.fault is Fault.DAMAGED
    assert database.damaged == "the file has a text that is not UTF-8"
    with pytest.raises(Unavailable, match="cannot be used: the file has a text that is not UTF-8"):
        database.migrate()
    database.close()


def test_once_damage_was_seen_nothing_is_written_before_a_new_start(database_url: str, tmp_path: Path) -> None:
    path = file_of(database_url)
    checkpoint(path)
    intact = tmp_path / "intact"
    shutil.copy(path, intact)
    overwrite(path, root_page(path, "roles"))
    database = open_database(database_url)
    with pytest.raises(Unavailable):
        database.read(lambda tx: tx.connection.execute(text("SELECT * FROM roles")).all())
    shutil.copy(intact, path)  # as if it had healed: who knows what was lost meanwhile
    with pytest.raises(Unavailable):
        database.record(version)
    database.close()
    again = open_database(database_url)
    assert again.damaged is None
    assert again.record(version) == 0
    again.close()


def test_damage_that_one_write_meets_takes_no_other_for_made(database_url: str) -> None:
    path = file_of(database_url)
    damage(path, "roles")
    database = open_database(database_url)
    with pytest.raises(Unavailable):
        database.change(lambda tx: tx.connection.execute(text("DELETE FROM roles")))
    database.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version FROM authority").fetchone() == (0,)


@pytest.mark.parametrize("verb", ["read", "record"])
def test_a_text_that_is_not_utf_8_is_damage(database_url: str, verb: str) -> None:
    with closing(sqlite3.connect(file_of(database_url))) as connection, connection:
        connection.execute("UPDATE authority SET issuer = CAST(x'a5a5' AS TEXT)")
    database = open_database(database_url)
    with pytest.raises(Unavailable) as raised:
        getattr(database, verb)(last_issuer)
    assert raised.value.fault is Fault.DAMAGED
    assert database.damaged
    database.close()


@pytest.mark.parametrize("verb", ["read", "record"])
def test_what_a_caller_sent_is_no_damage(database: Database, verb: str) -> None:
    """Else anybody could take the server out of service."""
    with pytest.raises(UnicodeDecodeError):
        getattr(database, verb)(lambda _: b"\xa5".decode())
    assert database.damaged is None


class Failing:
    """A transaction that fails at its commit as SQLite does when the disk fails."""

    def __init__(self, code: int) -> None:
        self._error = sqlite3.OperationalError("disk I/O error")
        self._error.sqlite_errorcode = code

    def __call__(self, _connection: Any) -> None:
        raise OperationalError("COMMIT", None, self._error)


@pytest.mark.parametrize(
    ("code", "open_ended"), [(sqlite3.SQLITE_IOERR_FSYNC, True), (sqlite3.SQLITE_FULL, False)], ids=["sync", "full"]
)
def test_a_disk_that_fails_at_the_commit_leaves_the_outcome_open(
    database: Any, code: int, open_ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database._writer.engine.dialect, "do_commit", Failing(code))
    with pytest.raises(Unavailable) as raised:
        database.change(version)
    assert isinstance(raised.value, OutcomeUnknown) is open_ended


@pytest.fixture
def damaged_house(house: Callable[..., Any], tmp_path: Path, database_url: str) -> Any:
    """An authority whose file was damaged after it was opened."""
    del database_url
    its = house(local_operator=True)
    its.client_id = its.delegated_name()
    for path in tmp_path.rglob("authsec.sqlite3"):
        checkpoint(path)
        for table in ("clients", "roles", "events", "authority"):
            overwrite(path, root_page(path, table))
    return its


@pytest.mark.parametrize(
    "path",
    some_of(
        [
            "/authsec/uflow/sdk/delegation-token?client_id={client_id}",
            "/authsec/api/v1/roles",
            "/authsec/api/v1/clients",
            "/authsec/api/v1/events",
            "/authsec/v1/revocations?since=0",
            "/console",
            "/console/roles",
        ]
    ),
)
def test_every_door_answers_503_when_the_file_is_damaged(damaged_house: Any, path: str) -> None:
    answer = damaged_house.door().get(path.format(client_id=damaged_house.client_id))
    assert answer.status_code == 503, answer.text
    assert "retry-after" in answer.headers


def test_a_change_answers_503_when_the_file_is_damaged(damaged_house: Any) -> None:
    answer = damaged_house.door().post("/authsec/api/v1/roles", json={"name": "New", "actions": ["customers:read"]})
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert "damaged" in answer.json()["error"]


def test_an_outcome_that_is_open_is_told_to_who_changes_and_not_to_who_reads(
    house: Callable[..., Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del database_url
    its = house(local_operator=True)
    client_id = its.delegated_name()
    database: Database = its.authority.database
    monkeypatch.setattr(
        database._writer.engine.dialect,  # type: ignore[attr-defined] # of SQLite
        "do_commit",
        Failing(sqlite3.SQLITE_IOERR_FSYNC),
    )
    change = its.door().post("/authsec/api/v1/roles", json={"name": "New", "actions": ["customers:read"]})
    assert (change.status_code, change.json()["retryable"]) == (503, False)
    assert change.json()["details"] == "The change may have been made. Check before you repeat it."
    token = its.door().get(f"/authsec/uflow/sdk/delegation-token?client_id={client_id}")
    assert (token.status_code, token.json()["retryable"]) == (503, True)
    assert token.headers["retry-after"] == change.headers["retry-after"] == "1"
