"""`authsec backup`: a copy of the embedded database of one moment; and plain copies, which lack the last moments."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from authsec_server.app import open_authority
from authsec_server.audit.sealing.outside import COPIED
from authsec_server.audit.sealing.store import newest_checkpoint
from authsec_server.cli.backup import backup
from authsec_server.db import Database, Tx, open_database
from authsec_server.settings import Settings, load_settings
from click.testing import CliRunner, Result
from long_runs import some_of
from sqlalchemy import text

Authsec = Callable[..., Result]


def lacks_wal(file: Path) -> bool:
    opened = open_database(f"sqlite:///{file}")
    try:
        return opened.lacks_wal
    finally:
        opened.close()


def insert(tx: Tx, pair: list[dict[str, object]]) -> None:
    tx.connection.execute(text("INSERT INTO pairs VALUES (:number, :filling)"), pair)


def rows(file: Path) -> list[int]:
    with closing(sqlite3.connect(file)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM pairs ORDER BY number")]


def test_a_backup_is_of_one_moment_while_others_write(authsec: Authsec, tmp_path: Path) -> None:
    """Each transaction writes two rows: a copy of several moments could have one of them."""
    its = open_database(f"sqlite:///{tmp_path / 'authsec.sqlite3'}")
    its.append(lambda tx: tx.connection.execute(text("CREATE TABLE pairs (number INTEGER, filling TEXT)")))
    over = threading.Event()

    def count() -> None:
        number = 0
        while not over.is_set():
            number += 2
            pair = [{"number": each, "filling": "x" * 3000} for each in (number - 1, number)]
            its.append(partial(insert, pair=pair))

    writing = threading.Thread(target=count)
    writing.start()
    try:
        for number in range(5):
            done = authsec("backup", str(tmp_path / f"copy-{number}"))
            assert done.exit_code == 0, done.output
    finally:
        over.set()
        writing.join()
        its.close()
    found = [rows(tmp_path / f"copy-{number}") for number in range(5)]
    assert all(each == list(range(1, len(each) + 1)) and len(each) % 2 == 0 for each in found)
    assert len(found[0]) < len(found[4])


def test_a_backup_is_one_private_file_without_the_master_key(authsec: Authsec, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "backup"
    file.parent.mkdir()
    done = authsec("backup", str(file))
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "master.key") in done.stdout
    assert [each.name for each in file.parent.iterdir()] == ["backup"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "master.key").read_bytes().strip() not in file.read_bytes()
    again = authsec("backup", str(file))
    assert again.exit_code == 4
    assert "already exists and is not overwritten" in again.stderr
    nowhere = authsec("backup", str(tmp_path / "nowhere" / "backup"))
    assert (nowhere.exit_code, nowhere.stderr.splitlines()[0]) == (1, f"✗ There is no folder {tmp_path / 'nowhere'}.")
    too_long = authsec("backup", str(tmp_path / ("x" * 300)))
    assert (too_long.exit_code, "[Errno" in too_long.stderr) == (1, False)
    assert "cannot be written: File name too long." in too_long.stderr
    assert not lacks_wal(file)
    (tmp_path / "data").mkdir()
    shutil.copy(file, tmp_path / "data" / "authsec.sqlite3")
    shutil.copy(tmp_path / "master.key", tmp_path / "data")
    with open_authority(Settings(data=tmp_path / "data")) as authority:
        assert authority.comparison.problem is None


def test_a_damaged_database_makes_no_backup(authsec: Authsec, tmp_path: Path) -> None:
    file = tmp_path / "authsec.sqlite3"
    octets = bytearray(file.read_bytes())
    octets[4096 * 3 : 4096 * 8] = b"\xff" * 4096 * 5
    file.write_bytes(octets)
    done = authsec("backup", str(tmp_path / "copy"))
    assert done.exit_code != 0
    assert not (tmp_path / "copy").exists()


def test_postgresql_is_backed_up_with_its_own_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_DATABASE", "postgresql://somebody:secret@localhost/authsec")
    done = CliRunner().invoke(backup, [str(tmp_path / "copy")])
    assert "pg_dump" in done.stderr
    assert "docs/backup.md" in done.stderr
    assert "secret" not in done.output


@pytest.fixture
def data(tmp_path: Path, begun_today: Path) -> Settings:
    """Of an authority that was started once."""
    shutil.copytree(begun_today, tmp_path, dirs_exist_ok=True)
    return load_settings(data=tmp_path)


def write(database: Database) -> None:
    database.append(lambda tx: tx.connection.execute(text("UPDATE authority SET issuer = 'http://somewhere'")))


def test_a_plain_copy_without_its_wal_is_recognised(data: Settings, tmp_path: Path) -> None:
    with open_authority(data) as authority:
        write(authority.database)
        shutil.copy(data.database_file, tmp_path / "copy")
    for _ in range(2):  # also by the next one, after a server has looked at it
        copied = tmp_path / "data"
        copied.mkdir(exist_ok=True)
        if not (copied / "authsec.sqlite3").exists():
            shutil.copy(tmp_path / "copy", copied / "authsec.sqlite3")
            shutil.copy(tmp_path / "master.key", copied)
        with open_authority(Settings(data=copied)) as authority:
            assert authority.comparison.problem == COPIED


def test_a_plain_copy_is_not_compared_with_an_earlier_file_of_checkpoints(data: Settings, tmp_path: Path) -> None:
    """The copy matches that file, to which no checkpoint was appended since the server was told another file."""
    earlier, later = (load_settings(data=tmp_path, audit_checkpoints=str(tmp_path / name)) for name in ("old", "new"))
    with open_authority(earlier) as authority:
        authority.dropper.sealer.seal()
        checkpoint = authority.database.read(lambda tx: newest_checkpoint(tx.connection))
        assert checkpoint
        (tmp_path / "old").write_text(f"{checkpoint[1]}\n")
    copied = tmp_path / "data"
    copied.mkdir(mode=0o700)
    with open_authority(later) as authority:
        write(authority.database)
        for name in ("authsec.sqlite3", "master.key"):
            shutil.copy(tmp_path / name, copied)
    with open_authority(Settings(data=copied), local_operator=True) as authority:
        assert authority.comparison.problem == COPIED
    with open_authority(load_settings(data=copied, audit_checkpoints=str(tmp_path / "old"))) as authority:
        assert authority.comparison.problem == COPIED


@pytest.mark.soak  # a killed server is in every run
def test_a_program_that_knows_no_mark_may_close_the_file_last(data: Settings, tmp_path: Path, authsec: Authsec) -> None:
    """After a server that ended well; and after one was killed, where an outside checkpoint shows that all is here."""
    with closing(sqlite3.connect(data.database_file)) as other:
        with open_authority(data) as authority:
            other.execute("SELECT count(*) FROM events").fetchone()
            write(authority.database)
        other.execute("SELECT count(*) FROM events").fetchone()
        assert Path(f"{data.database_file}-wal").exists()
    assert not lacks_wal(data.database_file)
    checkpoints = load_settings(data=tmp_path, audit_checkpoints=str(tmp_path / "checkpoints"))
    with open_authority(data, local_operator=True) as authority:
        authority.dropper.sealer.seal()
    (tmp_path / "checkpoints").write_text(authsec("audit", "checkpoint").stdout)
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60, check=False)
    with closing(sqlite3.connect(data.database_file)) as other:
        other.execute("SELECT count(*) FROM events").fetchone()
    with open_authority(data) as authority:
        assert authority.comparison.problem == COPIED
    with open_authority(checkpoints) as authority:
        assert authority.comparison.problem is None


KILLED = """
import os, sys
from pathlib import Path
from sqlalchemy import text
from authsec_server.app import open_authority
from authsec_server.settings import Settings

with open_authority(Settings(data=Path(sys.argv[1]))) as authority:
    authority.database.append(lambda tx: tx.connection.execute(text("UPDATE authority SET issuer = 'http://somewhere'")))
    os._exit(9)
"""


@pytest.mark.parametrize("looked_at", some_of([False, True], each=2))
def test_a_server_that_was_killed_or_ended_leaves_no_plain_copy(
    data: Settings, tmp_path: Path, authsec: Authsec, looked_at: bool
) -> None:
    with open_authority(data):
        pass
    assert not lacks_wal(data.database_file)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60, check=False)
    assert killed.returncode == 9
    if looked_at:  # a command is the last to close the file, and SQLite removes the -wal file then
        assert authsec("roles", "list").exit_code == 0
    with open_authority(data) as authority:
        assert authority.comparison.problem is None
        moved = tmp_path / "with-its-wal"
        moved.mkdir()
        for name in ("authsec.sqlite3", "authsec.sqlite3-wal", "master.key"):
            shutil.copy(tmp_path / name, moved)
    with open_authority(Settings(data=moved)) as authority:
        assert authority.comparison.problem is None
