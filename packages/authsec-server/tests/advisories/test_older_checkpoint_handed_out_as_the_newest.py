"""Raw SQL hands out an older checkpoint as the newest one, for the moment in which an officer fetches it.

It inserts a row with the text of an older genuine checkpoint and a very high number of events. The officer would keep
that text. Later, raw SQL could put the log back to that older state, and `verify` would find nothing. Or raw SQL
deletes the newer checkpoints for that moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from authsec.exit_status import Exit
from authsec_server.app import open_authority
from authsec_server.audit.sealing.outside import unverified
from authsec_server.settings import Settings
from click.testing import Result

pytestmark = pytest.mark.sqlite_suffices


def seal(data: Path) -> None:
    """A server of this data runs for a moment."""
    with open_authority(Settings(data=data)) as its:
        its.remember_issuer()
        while its.dropper.sealer.seal():
            pass


def plant(data: Path, signed: str) -> None:
    with closing(sqlite3.connect(data / "authsec.sqlite3")) as raw, raw:
        raw.execute("INSERT INTO checkpoints SELECT 999999, at, ? FROM checkpoints LIMIT 1", [signed])


@pytest.mark.opens_anew
def test_no_planted_row_is_handed_out(authsec: Callable[..., Result], tmp_path: Path) -> None:
    seal(tmp_path)
    older = authsec("audit", "checkpoint").stdout.strip()
    assert authsec("roles", "create", "Another", "--action", "customers:delete").exit_code == 0
    seal(tmp_path)
    newest = authsec("audit", "checkpoint").stdout.strip()
    assert newest != older
    for planted, told in {older: "covers another number of events", "x.y.z": "last checkpoint"}.items():
        plant(tmp_path, planted)
        fetched = authsec("audit", "checkpoint")
        assert (fetched.stdout, fetched.exit_code) != (older, 0)
        assert told in fetched.stderr
        assert "authsec audit verify" in fetched.stderr
        with closing(sqlite3.connect(tmp_path / "authsec.sqlite3")) as raw, raw:
            raw.execute("DELETE FROM checkpoints WHERE size = 999999")
    assert authsec("audit", "checkpoint").stdout.strip() == newest


@pytest.mark.opens_anew
@pytest.mark.parametrize("left", [1, 0])
def test_no_older_row_is_handed_out_while_the_newer_ones_are_away(
    authsec: Callable[..., Result], tmp_path: Path, left: int
) -> None:
    seal(tmp_path)
    older = authsec("audit", "checkpoint").stdout.strip()
    assert authsec("roles", "create", "Another", "--action", "customers:delete").exit_code == 0
    seal(tmp_path)
    with closing(sqlite3.connect(tmp_path / "authsec.sqlite3")) as raw, raw:
        raw.execute("DELETE FROM checkpoints")
        size = unverified(older)[1]["size"]
        raw.execute("INSERT INTO checkpoints SELECT ?, '2026-01-01 00:00:00.000000', ? WHERE ?", [size, older, left])
    fetched = authsec("audit", "checkpoint")
    assert (fetched.stdout, fetched.exit_code) == ("", Exit.CONFLICT)
    assert "seals" in fetched.stderr
    assert "authsec audit verify" in fetched.stderr
