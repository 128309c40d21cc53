"""Whoever has the sealing key seals an event under a low number, behind a checkpoint that was kept elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.merkle_tree import Tree, event_hash
from authsec_server.audit.model import EventKind
from authsec_server.audit.number_ranges import add, ranges_of
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import Checkpoint, sign_checkpoint
from authsec_server.audit.sealing.exporting import export, verify_export
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx
from long_runs import some_of
from sqlalchemy import delete, insert, select

sys.path.insert(0, str(Path(__file__).parent))
from test_audit_log_dropped_unseen import Old

pytestmark = pytest.mark.sqlite_suffices


@pytest.mark.parametrize("number", some_of([0, -5, 3]))
def test_an_event_with_a_low_number_is_found_though_it_is_sealed(database: Database, number: int) -> None:
    old = Old(database)
    gap = old.record(old.now)
    old.record(old.now)
    if number > 0:  # a number that no event has: somebody deleted the event before it was sealed
        old.run(delete(events).where(events.c.id == gap))
        number = gap
    old.settle()
    outside = old.report().last
    assert outside is not None
    assert outside.through > gap
    database.append(lambda tx: _seal(tx, old, number))
    report = database.read(lambda tx: verify_log(tx, old.keys, [outside], counts=False))
    assert any(f"Event {number} was inserted" in each for each in report.findings), report
    exported = verify_export(list(export(database)), old.keys, [outside])
    assert exported.findings


def _seal(tx: Tx, old: Old, number: int) -> Checkpoint:
    """Insert a token's event again under that number, seal it, and sign the checkpoint."""
    connection = tx.connection
    issued = select(events).where(events.c.kind == EventKind.TOKEN_ISSUED).order_by(events.c.id.desc()).limit(1)
    row: dict[str, Any] = connection.execute(issued).one()._asdict() | {"id": number, "client_name": "Somebody else"}
    connection.execute(insert(events).values(row))
    forged = connection.execute(select(events).where(events.c.id == number)).one()
    leaves = connection.execute(select(sealed_events.c.hash).order_by(sealed_events.c.position)).scalars().all()
    leaf = store.Leaf(position=len(leaves), event_id=number, hash=event_hash(forged._asdict()))
    store.add_leaves(connection, [leaf])
    add(connection, ranges_of([(forged.at, number)]))
    tree = Tree().with_leaves([*map(bytes, leaves), leaf.hash])
    checkpoint = sign_checkpoint(tree, through=0, at=old.now, issuer="https://a", key=old.key)
    store.add_checkpoint(connection, checkpoint)
    return checkpoint
