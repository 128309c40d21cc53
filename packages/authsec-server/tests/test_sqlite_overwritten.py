"""A copy over the SQLite file of a running server: the server serves nothing more, and nobody uses the mixture."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from authsec_server.app import open_authority
from authsec_server.db import Database
from authsec_server.failures import StartupRefused, Unavailable
from authsec_server.settings import Settings, load_settings
from click.testing import Result
from sqlalchemy import text
from starlette.testclient import TestClient

Authsec = Callable[..., Result]

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
