"""Raw SQL writes another version of the schema into `alembic_version`.

With a newer one, `verify` read the row of `authority`, and ended with an error if the row was missing. With an older
one, each start of a server copied the SQLite file and then failed, until the copies filled the disk. `verify` named
`authsec db upgrade`, which named `verify`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Tx, open_database
from authsec_server.db.migrate import newest_revision
from authsec_server.failures import StartupRefused
from sqlalchemy import text

NEWER = f"UPDATE alembic_version SET version_num = '{int(newest_revision()) + 1:04}'"
OLDER = "UPDATE alembic_version SET version_num = '0108'"


class _Undone(Exception):
    pass


def run(tx: Tx, *statements: str, **values: Any) -> None:
    for each in statements:
        its = text(each)
        tx.connection.execute(its, {name: value for name, value in values.items() if f":{name}" in each})


def skipped_after(estate: Any, *statements: str, **values: Any) -> str:
    """Verify after these statements in one transaction, and undo the transaction."""
    found: list[str] = []

    def work(tx: Tx) -> None:
        run(tx, *statements, **values)
        found.extend(verify(tx, {}).skipped)
        raise _Undone

    with pytest.raises(_Undone):
        estate.database.append(work)
    return found[0]


def test_a_missing_row_of_the_authority_ends_no_check(estate: Any) -> None:
    sentence = skipped_after(estate, NEWER, "DELETE FROM authority")
    assert "Verify with the version of AuthSec that made this schema. If nobody installed that version" in sentence


@pytest.mark.sqlite_suffices
def test_a_release_has_no_characters_that_a_terminal_obeys(estate: Any) -> None:
    release = "UPDATE authority SET schema_release = :release"
    assert "\x1b" not in skipped_after(estate, NEWER, release, release="0.2.0\x1b[8m\r\x1b[2K")


def test_an_older_version_may_be_written_by_hand(estate: Any) -> None:
    assert "somebody changed the version of the schema" in skipped_after(estate, OLDER)


@pytest.fixture
def older(empty_database_url: str) -> str:
    """A database with the current schema and an older version."""
    with closing(open_database(empty_database_url)) as database:
        database.migrate()
        database.append(lambda tx: run(tx, OLDER))
    return empty_database_url


def test_an_upgrade_that_fails_leaves_no_copy_and_names_a_way_out(older: str) -> None:
    for _ in range(2):
        with (
            closing(open_database(older)) as database,
            pytest.raises(StartupRefused, match="refused the upgrade of the schema") as refused,
        ):
            database.migrate()
        assert "restore a backup" in refused.value.remedy
        assert "verify" not in refused.value.remedy
    if older.startswith("sqlite"):
        file = Path(older.removeprefix("sqlite:///"))
        assert [each.name for each in file.parent.glob(f"{file.name}.schema-*")] == []
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0108",)]
