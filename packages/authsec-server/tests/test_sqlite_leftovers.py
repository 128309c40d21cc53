"""A `-wal` or `-journal` file of another database beside a restored SQLite file: refused before SQLite applies it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from authsec_server.app import open_authority
from authsec_server.failures import StartupRefused
from authsec_server.settings import Settings, load_settings
from click.testing import Result
from long_runs import some_of

Authsec = Callable[..., Result]


def beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)


def keep_wal(settings: Settings, to: Path) -> None:
    """Serve, write much, move that into the file, write on; and keep the log as a killed server would leave it."""
    with open_authority(settings), closing(sqlite3.connect(settings.database_file, isolation_level=None)) as writing:
        writing.execute("CREATE TABLE filling (octets)")
        for _ in range(500):
            writing.execute("INSERT INTO filling VALUES (randomblob(500))")
        writing.execute("PRAGMA wal_checkpoint(RESTART)")
        for _ in range(5):
            writing.execute("INSERT INTO filling VALUES (randomblob(500))")
        shutil.copy(beside(settings.database_file, "-wal"), to)


def put_back(settings: Settings, backup: Path, wal: Path) -> None:
    for suffix in ("-wal", "-shm"):
        beside(settings.database_file, suffix).unlink(missing_ok=True)
    shutil.copy(backup, settings.database_file)
    shutil.copy(wal, beside(settings.database_file, "-wal"))


def test_a_backup_beside_the_newer_log_is_refused_and_stays_whole(authsec: Authsec, tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    backup, wal, file = tmp_path / "backup", tmp_path / "kept-wal", settings.database_file
    assert authsec("backup", str(backup)).exit_code == 0
    keep_wal(settings, wal)
    put_back(settings, backup, wal)
    with pytest.raises(StartupRefused, match="is a backup or was closed") as refused, open_authority(settings):
        pass
    assert f"mv {file}-wal FOLDER" in refused.value.remedy
    for command in (
        ("backup", str(tmp_path / "another")),
        ("admin", "restored", "--yes"),
        ("roles", "list"),
        ("audit", "export-sealed"),
    ):
        done = authsec(*command)
        assert done.exit_code != 0, command
        assert "SQLite would mix two databases" in done.stderr, command
    assert not (tmp_path / "another").exists()
    assert file.read_bytes() == backup.read_bytes()
    assert beside(file, "-wal").read_bytes() == wal.read_bytes()
    beside(file, "-wal").rename(tmp_path / "moved")  # as the remedy says
    with open_authority(settings) as authority:
        assert authority.comparison.problem is None


def test_a_plain_copy_of_a_stopped_server_beside_the_newer_log_is_refused(authsec: Authsec, tmp_path: Path) -> None:
    """Its header is that of a served file. The pages of the log build on some that it lacks."""
    settings = load_settings(data=tmp_path)
    shutil.copy(settings.database_file, tmp_path / "backup")
    keep_wal(settings, tmp_path / "kept-wal")
    put_back(settings, tmp_path / "backup", tmp_path / "kept-wal")
    with pytest.raises(StartupRefused, match="lacks pages that the log needs"), open_authority(settings):
        pass


def test_a_copy_of_the_same_size_beside_the_newer_log_is_refused(tmp_path: Path, begun_today: Path) -> None:
    """Only the contents of the pages tell them apart."""
    shutil.copytree(begun_today, tmp_path, dirs_exist_ok=True)
    settings = load_settings(data=tmp_path)
    with closing(sqlite3.connect(settings.database_file, isolation_level=None)) as making:
        making.execute("CREATE TABLE filling (number INTEGER PRIMARY KEY, octets)")
        making.execute("CREATE INDEX by_octets ON filling (octets)")
        for _ in range(300):
            making.execute("INSERT INTO filling (octets) VALUES (randomblob(300))")
        making.execute("INSERT INTO filling (octets) VALUES (zeroblob(1000000))")
        making.execute("DELETE FROM filling WHERE length(octets) > 300")  # leaves free pages
    shutil.copy(settings.database_file, tmp_path / "backup")
    with closing(sqlite3.connect(settings.database_file, isolation_level=None)) as writing:
        writing.execute("CREATE TABLE later (octets)")  # in the free pages
        for _ in range(60):
            writing.execute("INSERT INTO later VALUES (randomblob(3000))")
        writing.execute("PRAGMA wal_checkpoint(RESTART)")
        for _ in range(20):
            writing.execute("INSERT INTO later VALUES (randomblob(3000))")
        shutil.copy(beside(settings.database_file, "-wal"), tmp_path / "kept-wal")
    put_back(settings, tmp_path / "backup", tmp_path / "kept-wal")
    with pytest.raises(StartupRefused, match="together they are damaged"), open_authority(settings):
        pass


@pytest.mark.parametrize("marked", some_of([True, False], each=2))
def test_the_log_of_a_killed_server_is_applied(tmp_path: Path, begun_today: Path, marked: bool) -> None:
    """One that was killed before it had marked its file, as well."""
    shutil.copytree(begun_today, tmp_path, dirs_exist_ok=True)
    settings, killed = load_settings(data=tmp_path), tmp_path / "killed"
    killed.mkdir()
    with closing(sqlite3.connect(settings.database_file, isolation_level=None)) as writing:
        writing.execute(f"PRAGMA application_id={0x41757365 if marked else 0}")
        writing.execute("CREATE TABLE filling (octets)")
        writing.execute("PRAGMA wal_checkpoint(RESTART)")
        writing.execute("PRAGMA wal_autocheckpoint=0")
        for _ in range(3000):
            writing.execute("INSERT INTO filling VALUES (randomblob(500))")
        for name in ("authsec.sqlite3", "authsec.sqlite3-wal", "master.key"):
            shutil.copy(tmp_path / name, killed)
    with open_authority(load_settings(data=killed)) as authority:
        assert authority.comparison.problem is None
    with closing(sqlite3.connect(killed / "authsec.sqlite3")) as reading:
        assert reading.execute("SELECT count(*) FROM filling").fetchone() == (3000,)


def test_a_log_beside_no_database_is_refused(tmp_path: Path, begun_today: Path) -> None:
    """SQLite would delete the log, and the server would begin a new authority."""
    shutil.copytree(begun_today, tmp_path, dirs_exist_ok=True)
    settings = load_settings(data=tmp_path)
    keep_wal(settings, tmp_path / "kept-wal")
    settings.database_file.unlink()
    shutil.copy(tmp_path / "kept-wal", beside(settings.database_file, "-wal"))
    with pytest.raises(StartupRefused, match="missing or empty"), open_authority(settings):
        pass


def test_a_journal_of_another_database_is_refused_and_an_own_one_rolled_back(tmp_path: Path, begun_today: Path) -> None:
    shutil.copytree(begun_today, tmp_path, dirs_exist_ok=True)
    settings, journal = load_settings(data=tmp_path), tmp_path / "authsec.sqlite3-journal"
    with closing(sqlite3.connect(settings.database_file, isolation_level=None)) as own:
        own.execute("PRAGMA journal_mode=DELETE")
        own.execute("BEGIN")
        own.execute("PRAGMA user_version=7")
        shutil.copy(journal, tmp_path / "own")
        own.execute("ROLLBACK")
    with closing(sqlite3.connect(tmp_path / "other", isolation_level=None)) as other:
        other.execute("CREATE TABLE filling (octets)")
        for _ in range(200):
            other.execute("INSERT INTO filling VALUES (randomblob(500))")
        other.execute("PRAGMA cache_size=1")
        other.execute("BEGIN")
        other.execute("UPDATE filling SET octets = randomblob(500)")
        shutil.copy(tmp_path / "other-journal", journal)
        journal.chmod(0o600)
        with journal.open("r+b") as file, settings.database_file.open("rb") as main:
            file.seek(16)  # the size of the file before, in pages: that of two databases may be equal
            file.write((main.seek(0, 2) // 4096).to_bytes(4))
    with pytest.raises(StartupRefused, match="would overwrite more than the first page"), open_authority(settings):
        pass
    shutil.copy(tmp_path / "own", journal)
    with open_authority(settings) as authority:
        assert authority.comparison.problem is None
