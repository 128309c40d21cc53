"""The sealing key drops one event of this month, which a kept checkpoint covers, by a checkpoint that it dates back."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.checkpoints import sign_checkpoint
from authsec_server.audit.sealing.dropped import sign_drop
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import checkpoints, events, sealed_events
from authsec_server.db import Database, Tx
from sqlalchemy import delete, insert, select

sys.path.insert(0, str(Path(__file__).parent))
from test_audit_log_dropped_unseen import UNSAID, Old, Undone

pytestmark = pytest.mark.sqlite_suffices


def test_an_event_of_this_month_that_a_kept_checkpoint_covers_cannot_be_dropped(database: Database) -> None:
    old = Old(database)
    victim = old.record(old.now)
    old.settle()
    outside = old.report().last
    assert outside is not None
    place = outside.size - 1
    claims = {"before": "2026-11", "by": "ann", "export_sha256": "00" * 32, "checkpoint": outside.signed} | UNSAID
    claims |= {"events": place + 1, "numbers": [1, victim], "places": [[0, place]]}
    signed = sign_drop(claims, at=old.now, issuer="https://a", key=old.key)
    old.record(old.now, EventKind.EVENTS_DROPPED, detail={"record": signed})
    old.settle()
    found: list[Report] = []

    def attack(tx: Tx) -> None:
        hashes = tx.connection.execute(select(sealed_events.c.hash).order_by(sealed_events.c.position)).scalars().all()
        then = datetime.fromisoformat("2026-10-20T00:00:00+00:00")
        tx.connection.execute(delete(checkpoints).where(checkpoints.c.at > then, checkpoints.c.size <= outside.size))
        tree = Tree().with_leaves(bytes(each) for each in hashes[: outside.size])
        checkpoint = sign_checkpoint(tree, through=victim, at=then, issuer="https://a", key=old.key)
        tx.connection.execute(insert(checkpoints).values(size=outside.size, at=then, signed=checkpoint.signed))
        tx.connection.execute(delete(events).where(events.c.id == victim))
        found.append(verify_log(tx, old.keys, [outside], counts=False))
        raise Undone

    with pytest.raises(Undone):
        database.append(attack)
    assert found[0].findings, (found[0].not_checkable, found[0].dropped)
