"""Somebody adds twenty small views to the SQLite file: each reads the one before it twice.

`PRAGMA table_list` prepares a statement for each view, and SQLite unfolds all views below it: some ten thousands. So
`verify` is busy for a very long time, and reports nothing. No signal of Python ends it, because SQLite does not return.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import open_database

DOUBLINGS, BELOW = 15, 5
SECONDS = 40


def _verify(url: str) -> None:
    with closing(open_database(url)) as database:
        report = database.read(lambda tx: verify(tx, {}, now=LATER))
    assert "The view v0 of v0 is unknown to AuthSec" in "\n".join(report.findings)


@pytest.mark.soak  # test_schema_row_that_keeps_the_check_busy.py has views, too
def test_views_that_unfold_do_not_keep_verify_busy(tmp_path: Path) -> None:
    file = tmp_path / "authsec.sqlite3"
    url = f"sqlite:///{file}"
    with closing(open_database(url)) as database:
        database.migrate()
        fill(database)
    with closing(sqlite3.connect(file)) as connection:
        names = [f"v{number}" for number in range(BELOW + DOUBLINGS)]
        for number, name in enumerate(names):
            before = names[number - 1] if number else "roles"
            twice = f"{before} a, {before} b" if number >= BELOW else before
            connection.execute(f"CREATE VIEW {name} AS SELECT 1 AS x FROM {twice}")
    checking = multiprocessing.get_context("spawn").Process(target=_verify, args=(url,))
    checking.start()
    checking.join(SECONDS)
    is_busy = checking.is_alive()
    checking.kill()
    checking.join()
    assert not is_busy, f"verify is still busy after {SECONDS} seconds"
    assert checking.exitcode == 0
