"""No check counts an event that came after the drop of its month. Somebody hides counts behind that.

Raw SQL cannot move an event behind a checkpoint that covers it. The holder of the sealing key can sign a record over a
small checkpoint, so that events of those months seem to have come later.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.model import EventKind
from authsec_server.audit.recount import dropped_counts
from authsec_server.audit.sealing.checkpoints import Checkpoint, sign_checkpoint
from authsec_server.audit.sealing.dropped import sign_drop
from authsec_server.audit.sealing.exporting import export
from authsec_server.audit.store import checkpoints, events, hourly_counts, sealed_events
from authsec_server.db import Database
from sqlalchemy import delete, insert, select, text

sys.path.insert(0, str(Path(__file__).parent))
from test_audit_log_dropped_unseen import AUGUST, JUNE, Old

pytestmark = pytest.mark.sqlite_suffices

JULY = (
    "DELETE FROM hourly_counts WHERE hour >= '2026-07-01' AND hour < '2026-08-01'",
    "DELETE FROM client_counts WHERE hour >= '2026-07-01' AND hour < '2026-08-01'",
    "DELETE FROM last_uses WHERE month >= '2026-07-01' AND month < '2026-08-01'",
)
ITS_LAST_HOUR = (
    "DELETE FROM hourly_counts WHERE hour >= '2026-07-31' AND hour < '2026-08-01'",
    "DELETE FROM client_counts WHERE hour >= '2026-07-31' AND hour < '2026-08-01'",
    "UPDATE last_uses SET granted_at = '2026-07-10 12:00:03.000000' WHERE granted_at >= '2026-07-31'"
    " AND granted_at < '2026-08-01'",
)
LAST_HOUR = AUGUST - timedelta(hours=1)
OLD_CHECKPOINT = "its checkpoint was not the last one: another checkpoint was signed at"


@pytest.fixture
def old(database: Database) -> Old:
    return Old(database)


def add_late_event(old: Old) -> list[str]:
    """An event of July that is sealed in November, and counted; an export that holds it."""
    old.record(LAST_HOUR)
    old.settle_late()
    return list(export(old.database))


def hide(old: Old, checkpoint: Checkpoint, statements: Sequence[str] = JULY, *, drop: bool = True) -> None:
    """Delete counts of July, and sign a record that seems to leave out their events."""
    old.run(*map(text, statements))
    digests = old.database.read(lambda tx: dropped_counts(tx.connection, AUGUST))
    claims = {
        "before": "2026-08",
        "by": "ann",
        "export_sha256": "00" * 32,
        "checkpoint": checkpoint.signed,
        "counts": digests,
    }
    claims |= {"tables": {}, "authority_version": 1}
    last = min(checkpoint.size, 9) - 1
    claims |= {"events": last, "numbers": [2, last + 1], "places": [[1, last]]}
    signed = sign_drop(claims, at=old.now, issuer="https://a", key=old.key)
    old.record(old.now, EventKind.EVENTS_DROPPED, detail={"record": signed})
    old.settle()
    if drop:
        old.run(delete(events).where(events.c.id.between(2, last + 1)))


def checkpoint_of(old: Old, size: int, at: datetime) -> Checkpoint:
    """A checkpoint of the first leaves, as the thief of the key signs it."""
    statement = select(sealed_events.c.hash).order_by(sealed_events.c.position).limit(size)
    hashes = old.database.read(lambda tx: tx.connection.execute(statement).scalars().all())
    tree = Tree().with_leaves(map(bytes, hashes))
    return sign_checkpoint(tree, through=size, at=at, issuer="https://a", key=old.key)


def found(old: Old, *lines: list[str]) -> str:
    return "\n".join(old.report(*lines).findings)


@pytest.mark.soak
def test_the_count_of_an_event_that_was_there_at_the_drop_is_compared(old: Old) -> None:
    """It is dated before the cut and was sealed after it, so the drop left it."""
    lines = add_late_event(old)
    assert old.drop(lines).events == 8
    old.settle()
    assert found(old, lines) == ""
    old.run(text("UPDATE hourly_counts SET occurrences = 9 WHERE hour >= '2026-07-31' AND hour < '2026-08-01'"))
    assert "hourly_counts was changed in the months before 2026-08" in found(old)
    assert "hourly_counts says 9 for hour 2026-07-31 23:00" in found(old, lines)


def test_an_event_that_came_after_the_drop_brings_no_row(old: Old) -> None:
    old.drop()
    old.settle()
    old.record(LAST_HOUR)
    old.settle()
    old.run(insert(hourly_counts).values(hour=LAST_HOUR, kind="token.issued", reason="", occurrences=1))
    assert "hourly_counts says 1 for hour 2026-07-31 23:00" in found(old, old.lines)


def test_a_record_over_a_checkpoint_of_its_month_leaves_out_no_event(old: Old) -> None:
    hide(old, checkpoint_of(old, 5, JUNE + timedelta(minutes=10)))
    assert f"leaves 4 events out of the counts, but {OLD_CHECKPOINT} 2026-07-10 12:10" in found(old, old.lines)


def test_a_small_checkpoint_that_is_dated_later_is_found_by_a_checkpoint_that_was_kept(old: Old) -> None:
    july = checkpoint_of(old, 9, JUNE + timedelta(days=30, minutes=10))
    old.run(delete(checkpoints).where(checkpoints.c.size < 13))
    hide(old, checkpoint_of(old, 5, old.now))
    old.kept = july
    assert f"leaves 4 events out of the counts, but {OLD_CHECKPOINT} 2026-07-10 12:10" in found(old, old.lines)


def test_a_record_that_drops_nothing_leaves_out_no_event(old: Old) -> None:
    lines = add_late_event(old)
    assert old.kept is not None
    hide(old, old.kept, ITS_LAST_HOUR, drop=False)
    assert "leaves 1 event out of the counts, but dropped nothing." in found(old, lines)


def test_a_record_over_a_checkpoint_that_was_not_the_last_one_leaves_out_no_event(old: Old) -> None:
    lines = add_late_event(old)
    assert old.kept is not None
    hide(old, old.kept, ITS_LAST_HOUR)
    assert f"leaves 1 event out of the counts, but {OLD_CHECKPOINT} 2026-11-25 12:20" in found(old, lines)
