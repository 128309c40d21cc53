"""A copy over the SQLite file of a running server: the server serves nothing more, and nobody uses the mixture."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from authsec_server.app import open_authority
from authsec_server.db import Database, Tx
from authsec_server.failures import StartupRefused, Unavailable
from authsec_server.settings import Settings, load_settings
from click.testing import Result
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from starlette.testclient import TestClient

Authsec = Callable[..., Result]

PAGE = 4096
WHY = "another program overwrote the file while a server was using it"


def write(database: Database) -> None:
    database.append(lambda tx: tx.connection.execute(text("UPDATE authority SET issuer = 'http://somewhere'")))


def problem_of(server: TestClient) -> str:
    """Wait until the server says that the file is damaged, and return the problem."""
    deadline = time.monotonic() + 20
    while (answer := server.get("/readyz").json())["status"] != "database_damaged":
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return str(answer["problem"])


def overwrite_while_served(data: Settings, copy: Path) -> None:
    with open_authority(data) as authority, TestClient(authority.app) as server:
        authority.dropper.sealer.seal()
        assert server.get("/readyz").status_code == 200
        data.database_file.write_bytes(copy.read_bytes())
        assert problem_of(server).startswith(f"The database file is damaged: {WHY}.")
        data.database_file.write_bytes(copy.read_bytes())  # once more: in vain
        with pytest.raises(Unavailable, match="The database file is damaged"):
            write(authority.database)


@pytest.mark.opens_anew
@pytest.mark.parametrize("how", ["backup", "plain copy"])
def test_a_copy_over_the_file_of_a_running_server_is_detected(authsec: Authsec, tmp_path: Path, how: str) -> None:
    """Afterwards the file is refused until a backup replaces it."""
    data, copy = load_settings(data=tmp_path), tmp_path / "copy"
    if how == "backup":
        assert authsec("backup", str(copy)).exit_code == 0
    else:
        shutil.copy(data.database_file, copy)
    overwrite_while_served(data, copy)
    with pytest.raises(StartupRefused, match=WHY), open_authority(data):
        pass
    for command in (("backup", str(tmp_path / "another")), ("roles", "list"), ("audit", "export-sealed")):
        done = authsec(*command)
        assert done.exit_code != 0, command
        assert WHY in done.stderr, command
    data.database_file.write_bytes(copy.read_bytes())
    with open_authority(data) as authority:
        write(authority.database)


def test_a_copy_right_before_the_server_ends_is_detected(authsec: Authsec, tmp_path: Path) -> None:
    data, copy = load_settings(data=tmp_path), tmp_path / "copy"
    assert authsec("backup", str(copy)).exit_code == 0
    with open_authority(data) as authority:
        write(authority.database)
        data.database_file.write_bytes(copy.read_bytes())
    with pytest.raises(StartupRefused, match=WHY), open_authority(data):
        pass


def test_a_file_that_was_emptied_under_a_server_is_detected(authsec: Authsec, tmp_path: Path) -> None:
    data, nothing = load_settings(data=tmp_path), tmp_path / "nothing"
    nothing.touch()
    overwrite_while_served(data, nothing)
    with pytest.raises((StartupRefused, Unavailable)), open_authority(data):
        pass


def test_an_overwritten_file_is_called_so_even_if_sqlite_notices_the_damage_first(
    authsec: Authsec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first moment: also while the mark waits for the disk."""
    data, copy, told = load_settings(data=tmp_path), tmp_path / "copy", list[str | None]()
    assert authsec("backup", str(copy)).exit_code == 0
    octets = copy.read_bytes()
    with open_authority(data) as authority:
        database = authority.database
        monkeypatch.setattr(os, "fsync", lambda _: told.append(database.damaged))
        data.database_file.write_bytes(octets[:PAGE] + b"\xa5" * (len(octets) - PAGE))
        with pytest.raises(Unavailable) as raised:
            database.read(lambda tx: tx.connection.execute(text("SELECT * FROM roles")).all())
        assert isinstance(raised.value.__cause__, DatabaseError), "SQLite noticed the damage"
        assert {database.damaged, *told} == {WHY}
    with pytest.raises(StartupRefused, match=WHY), open_authority(data):
        pass


def test_a_copy_over_the_file_of_a_server_that_writes_is_detected(authsec: Authsec, tmp_path: Path) -> None:
    """Else the next commit moves a page with the server's own header over the header of the copy."""
    data, copy = load_settings(data=tmp_path), tmp_path / "copy"
    assert authsec("backup", str(copy)).exit_code == 0

    def grow(tx: Tx) -> None:
        tx.connection.execute(text("CREATE TABLE IF NOT EXISTS grown (value)"))
        tx.connection.execute(text("INSERT INTO grown VALUES (zeroblob(20000))"))

    with open_authority(data) as authority:
        authority.database.append(lambda tx: tx.connection.exec_driver_sql("PRAGMA wal_autocheckpoint = 1").all())
        authority.database.append(grow)
        data.database_file.write_bytes(copy.read_bytes())
        with pytest.raises(Unavailable, match="The database file is damaged"):
            authority.database.append(grow)
        authority.database.look_at_file()
        assert authority.database.damaged == WHY
    with pytest.raises(StartupRefused, match=WHY), open_authority(data):
        pass


def test_a_copy_that_is_older_than_the_checkpoints_is_called_overwritten_first(
    authsec: Authsec, tmp_path: Path
) -> None:
    """Else the operator would record a restore, and so use the mixture."""
    data, copy = load_settings(data=tmp_path), tmp_path / "copy"
    assert authsec("backup", str(copy)).exit_code == 0
    with open_authority(data) as authority, TestClient(authority.app) as server:
        authority.comparison.problem = "The database is older than a checkpoint it signed."
        data.database_file.write_bytes(copy.read_bytes())
        assert WHY in problem_of(server)
    with pytest.raises(StartupRefused, match=WHY), open_authority(data):
        pass


def test_two_servers_of_a_file_may_end_one_after_the_other(authsec: Authsec, tmp_path: Path) -> None:
    """The first that ends removes the mark of a running server, which is no sign of a copy."""
    data = load_settings(data=tmp_path)
    with open_authority(data) as first, open_authority(data) as second:
        write(second.database)
        first.database.look_at_file()
        with open_authority(data):
            pass
        for each in (first, second):
            write(each.database)
            each.database.look_at_file()
            assert each.database.damaged is None
