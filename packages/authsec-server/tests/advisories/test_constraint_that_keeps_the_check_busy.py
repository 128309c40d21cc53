"""Somebody adds a table of one row to the SQLite file, with a constraint that takes hours to compute.

`PRAGMA integrity_check` computes the constraints of each table. `verify` does that before it compares the schema.
So `verify` is busy for a very long time, and reports nothing. No signal of Python ends it: SQLite does not return.
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

SECONDS = 40
LONG = "replace(hex(zeroblob(5000000)), '0', 'a')"  # ten million letters
NEVER = "'%' || substr(replace(hex(zeroblob(25000)), '0', 'a'), 1, 49000) || 'b'"


def _verify(url: str) -> None:
    with closing(open_database(url)) as database:
        report = database.read(lambda tx: verify(tx, {}, now=LATER))
    assert "The table evil is unknown to AuthSec" in "\n".join(report.findings)


@pytest.mark.soak  # test_constraint_that_keeps_the_backup_busy.py has constraints
def test_a_constraint_that_takes_long_does_not_keep_verify_busy(tmp_path: Path) -> None:
    file = tmp_path / "authsec.sqlite3"
    url = f"sqlite:///{file}"
    with closing(open_database(url)) as database:
        database.migrate()
        fill(database)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = on")
        connection.execute(f"CREATE TABLE evil (x, CHECK (x OR {LONG} LIKE {NEVER}))")
        connection.execute("INSERT INTO evil VALUES (0)")
        connection.commit()
    checking = multiprocessing.get_context("spawn").Process(target=_verify, args=(url,))
    checking.start()
    checking.join(SECONDS)
    is_busy = checking.is_alive()
    checking.kill()
    checking.join()
    assert not is_busy, f"verify is still busy after {SECONDS} seconds"
    assert checking.exitcode == 0
