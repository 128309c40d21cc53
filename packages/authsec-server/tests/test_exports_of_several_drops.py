"""Events were dropped twice, and a person gives one of the two exports: no finding, and a part is not checkable."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from authsec_server.audit.sealing.exporting import export, verify_export
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.clients import service
from authsec_server.db import Database
from long_runs import some_of

sys.path.insert(0, str(Path(__file__).parent / "advisories"))
from test_rows_changed_around_a_drop import Year, midnight

pytestmark = pytest.mark.sqlite_suffices


@pytest.fixture
def year(database: Database) -> Year:
    """June is dropped in August, and later July and August. The first export has a part of August."""
    year = Year(database)
    year.do(lambda tx, act: service.disable(tx, act, "helper"))
    year.settle()
    year.drop(7)
    year.at += timedelta(days=5)
    year.do(lambda tx, act: service.enable(tx, act, "helper"))
    year.do(lambda tx, act: service.revoke_tokens(tx, act, "helper"))
    year.issue()
    year.settle()
    year.edit(9)
    year.drop(9)
    return year


GIVEN = {"first": (0,), "second": (1,), "both": (0, 1), "both, the second first": (1, 0), "none": ()}


@pytest.mark.parametrize("chosen", some_of(GIVEN.values(), each=5), ids=GIVEN)
def test_each_check_says_which_events_are_missing(year: Year, chosen: Sequence[int]) -> None:
    files = year.files
    year.files = [files[each] for each in chosen]
    report = year.report()
    first, second = report.dropped
    assert (report.findings, report.skipped) == ((), ())
    assert first.given == (first.missing if 0 in chosen else 0)
    some = second.missing if 1 in chosen else 3 if 0 in chosen else 0
    assert second.given == some < 9
    assert report.not_checkable == first.missing - first.given + second.missing - some
    given = [KeptExport(f"{each}.jsonl", files[each]) for each in chosen]
    exported = verify_export(list(export(year.database)), year.keys(), [], given)
    assert (exported.findings, exported.not_checkable) == ((), report.not_checkable)


@pytest.mark.soak
def test_the_next_drop_works_with_the_first_export_alone(year: Year) -> None:
    year.edit(10)
    lines = list(export(year.database))
    year.dropper.drop(year.act, midnight(10), lines, sha256("".join(lines).encode()).hexdigest())
    year.files = year.files[:1]
    assert year.report().findings == ()
