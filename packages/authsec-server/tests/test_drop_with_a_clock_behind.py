"""A server whose clock is behind writes an event of a month that is being dropped, or was dropped.

Nothing is wrong then: each check says so, with the exports and without, and the next month can be dropped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing.exporting import export
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database
from authsec_server.failures import Conflict
from long_runs import some_of

sys.path.insert(0, str(Path(__file__).parent / "advisories"))
from test_audit_log_dropped_unseen import AUGUST, Old

pytestmark = pytest.mark.sqlite_suffices

LAST_HOUR = AUGUST - timedelta(hours=1)


class Overtaken(Sealer):
    """A sealer whose key is asked for while another server works: after the check of a drop, and before its record."""

    meanwhile: Callable[[], None] | None = None

    def key(self) -> PrivateKey:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        return super().key()


@pytest.fixture
def old(database: Database) -> Old:
    return Old(database)


def check(old: Old, *files: list[str]) -> None:
    """With the files and without, nothing is found."""
    assert (old.report().findings, old.report(*files).findings) == ((), ())
    assert old.report(*files).not_checkable == 0


@pytest.mark.soak  # a drop that meets such an event is in every run
def test_an_event_that_comes_after_the_drop_of_its_month_is_not_counted_and_not_found(old: Old) -> None:
    old.drop()
    old.settle()
    old.record(LAST_HOUR)
    check(old, old.lines)  # without a seal
    old.settle()
    check(old, old.lines)


def test_the_next_drop_takes_such_an_event(old: Old) -> None:
    old.drop()
    old.settle()
    old.record(LAST_HOUR)
    old.settle_late()
    old.now = AUGUST.replace(month=12, day=2)
    old.settle()
    lines = list(export(old.database))
    assert old.drop(lines, before=AUGUST.replace(month=12)).events == 6
    old.settle()
    check(old, old.lines, lines)
    assert old.report(lines).findings == ()


def written(old: Old) -> None:
    old.record(LAST_HOUR)


def counted(old: Old) -> None:
    old.record(LAST_HOUR)
    roll_up(old.database, old.now)


def sealed_and_counted(old: Old) -> None:
    old.record(LAST_HOUR)
    old.settle()


@pytest.mark.soak
@pytest.mark.parametrize("come", some_of([written, counted, sealed_and_counted]))
def test_a_drop_that_meets_such_an_event_is_refused_and_works_later(old: Old, come: Callable[[Old], None]) -> None:
    its, key = old.dropper.sealer, old.key
    sealer = Overtaken(
        old.database, issuer="https://a", signing_key=lambda _: key, keys=lambda: old.keys, now=lambda: old.now
    )
    sealer.meanwhile, old.dropper = lambda: come(old), replace(old.dropper, sealer=sealer)
    with pytest.raises(Conflict, match="recorded a new event with a time in those months"):
        old.drop()
    old.dropper = replace(old.dropper, sealer=its)
    old.settle_late()
    check(old)
    lines = list(export(old.database))
    assert old.drop(lines).events == 8
    old.settle()
    check(old, lines)
    old.now = AUGUST.replace(month=12, day=2)
    old.settle()
    later = list(export(old.database))
    assert old.drop(later, before=AUGUST.replace(month=12)).events == 6
    old.settle()
    check(old, lines, later)
