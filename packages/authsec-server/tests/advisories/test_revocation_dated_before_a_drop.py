"""Old months are dropped, and somebody inserts a revocation that is dated before the cut: its event may be dropped.

Readers go by the version of a row, not by its time. So the row would end the tokens of every event that is left.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.db import Database, metadata
from sqlalchemy import insert, text

sys.path.insert(0, str(Path(__file__).parent))
from test_journal_dropped_unseen import AUGUST, JUNE, Old

VERSION = 7  # of the tokens that are left


@pytest.fixture
def old(database: Database) -> Old:
    """A log that lost June and July; its newest token is of November."""
    its = Old(database)
    its.run(text("UPDATE authority SET version = 50"))
    its.record(its.now, authority_version=VERSION, kid="c1")
    its.settle()
    its.drop(its.lines)
    its.settle()
    assert its.report().findings == ()
    return its


def _row(at: datetime, version: int, kind: str = "client", sequence: int = 1) -> Any:
    row = {"sequence": sequence, "subject_kind": kind, "subject_id": "c1", "version": version, "at": at}
    return insert(metadata.tables["revocations"]).values(row)


@pytest.mark.parametrize("kind", ["client", "key"])
@pytest.mark.parametrize("at", [JUNE, AUGUST - timedelta(seconds=1)])
def test_a_row_that_ends_a_token_that_is_left_is_found(old: Old, kind: str, at: datetime) -> None:
    found = old.findings_after(_row(at, VERSION + 1, kind))
    assert f"The row 1 of revocations ended the tokens of the {kind} c1, and no event says so." in found


def test_a_row_whose_event_was_dropped_is_not_found(old: Old) -> None:
    assert old.findings_after(_row(JUNE, VERSION)) == ""


def test_a_change_that_meets_the_first_token_of_the_month_is_not_found(old: Old) -> None:
    """A server whose clock is behind ends something, while another one records a token of the next month."""
    old.record(AUGUST + timedelta(seconds=1), authority_version=2)
    assert old.findings_after(_row(AUGUST - timedelta(seconds=1), 3)) == ""
    assert "row 1 of revocations" in old.findings_after(_row(AUGUST - timedelta(hours=1), 3))
