"""Append the leaves of one pass of the sealer to the sealed log, with their checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from authsec_server.audit import number_ranges
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.number_ranges import Range
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import Checkpoint
from authsec_server.audit.sealing.seal_places import delete_planted
from authsec_server.audit.sealing.sealable import Sealable
from authsec_server.audit.sealing.unsealed import UnsealedEvents
from authsec_server.db import Tx


def appended(tree: Tree, events: Sequence[Sealable]) -> tuple[Tree, list[store.Leaf]]:
    """Return the tree with the leaves of these events, and the new leaves."""
    added = [
        store.Leaf(position=tree.size + place, event_id=each.number, hash=each.hash)
        for place, each in enumerate(events)
    ]
    return tree.with_leaves(leaf.hash for leaf in added), added


def append(
    tx: Tx,
    unsealed: UnsealedEvents,
    added: Sequence[store.Leaf],
    ranges: Mapping[datetime, Range],
    checkpoint: Checkpoint,
) -> bool:
    """Write the leaves and the checkpoint. Return whether they were written.

    Nothing is written if another server has the lock or sealed first.
    Nothing is written either if a counted refusal got further occurrences in the meantime.
    """
    if not store.lock_sealing(tx.connection) or store.last_signed(tx.connection) != unsealed.signed:
        return False
    counts = {(each.number, each.at): each.occurrences for each in unsealed.events if each.occurrences is not None}
    if not store.lock_counts(tx.connection, counts):
        return False
    if unsealed.planted:  # these seals have places or numbers of the new leaves
        delete_planted(tx.connection, checkpoint.size - len(added), [each.event_id for each in added])
    store.add_leaves(tx.connection, added)
    number_ranges.add(tx.connection, ranges)
    store.add_checkpoint(tx.connection, checkpoint)
    return True
