"""The docs name every stock client in the version that is tried."""

from __future__ import annotations

from .catalogue import AUTHLIB, PYJWT, TRIED, VERIFIES
from .table import lines, outdated, row, rows_of_pages


def test_the_page_has_the_versions_that_are_tried() -> None:
    assert outdated(rows_of_pages()) == [], "renew it: uv run --no-sync python -m tests.foreign --write"
    assert len(rows_of_pages()) == sum(map(len, TRIED.values()))


def test_a_client_that_was_not_run_keeps_its_line_unless_its_version_has_changed() -> None:
    same = row(VERIFIES, AUTHLIB, "verifies")
    changed = row(VERIFIES, PYJWT, "verifies").replace("`pyjwt` ", "`pyjwt` 0.")
    _, _, *kept = lines({}, [same, changed])
    assert kept == [same]
