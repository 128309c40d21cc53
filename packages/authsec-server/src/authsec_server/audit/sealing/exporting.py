"""Export of the sealed audit log, and the check of an export with the public keys only.

An export has one line of JSON for each leaf, in the order of sealing.
The line of a leaf contains the event in its hashed form, or null if the event was dropped.
The line of a checkpoint follows the last leaf that the checkpoint covers.
The last line is the newest checkpoint.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from authsec_server.audit.merkle_tree import event_text, text_hash
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import Checkpoint, Keys, record_in
from authsec_server.audit.sealing.dropped import drop_of, valid_drops
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.lines import NotAnExport, checkpoint_line, exact, leaf_line, read_line
from authsec_server.audit.sealing.log_check import LogCheck, Report
from authsec_server.audit.sealing.restores import restore_of, valid_restores
from authsec_server.audit.sealing.succession import Succession, replacement_of, succession
from authsec_server.audit.unreadable_rows import numbers_fitting
from authsec_server.db import Database, Tx
from authsec_server.failures import NotFound

BATCH = 1000


def export(database: Database) -> Iterator[str]:
    """Yield the lines of the sealed log up to its newest checkpoint, in many short transactions.

    Blocks its thread. Raises `NotFound` if nothing is sealed.
    """
    last = database.read(_newest)
    after = -1
    while after + 1 < last[0]:
        lines, end = database.read(partial(_batch, after=after, size=last[0]))
        if not lines:
            break
        yield from lines
        after = end - 1
    yield from database.read(partial(_last_checkpoints, size=last[0], signed=last[1]))


def verify_export(
    lines: Iterable[str],
    keys: Keys,
    kept: Sequence[Checkpoint] = (),
    given: Sequence[KeptExport] = (),
    ends: Mapping[str, int] | None = None,
    *,
    now: datetime | None = None,
) -> Report:
    """Compare the events of an export with its seals and with the checkpoints in `kept`. Raises `NotAnExport`.

    The lines are read several times, because a drop record comes after the leaves of its dropped events. The attack:
    raw SQL inserts very many long events with records. So no more than the records with a valid signature are held.
    `given` are further exports, which contain events that this export lacks.
    `ends` and `now` have the same meaning as for `verify`.
    """
    sealing_keys = _sealing_keys(lines, keys, ends)
    dropped = valid_drops((drop_of(event) for _, event in _records(lines, EventKind.EVENTS_DROPPED)), sealing_keys.keys)
    restores = valid_restores(
        ((place, restore_of(event)) for place, event in _records(lines, EventKind.AUTHORITY_RESTORED)), sealing_keys
    )
    log_check = LogCheck(keys=sealing_keys, kept=kept, records=dropped, given=given, restores=restores, now=now)
    size = 0
    waiting: deque[Checkpoint] = (
        deque()
    )  # kept checkpoints of `size` leaves; they and the export's checkpoints are compared in the order of time
    for number, line in enumerate(lines, 1):
        read = read_line(line)
        if read is None and number == 1:
            raise NotAnExport
        if read is None and not line.endswith("\n"):
            log_check.add_finding(f"Line {number} is not complete: the export was cut there.")
        elif read is None:
            log_check.add_finding(f"Line {number} was changed after the export.")
        elif "checkpoint" in read:
            if checkpoint := log_check.read(size, read["checkpoint"]):
                while waiting and waiting[0].at <= checkpoint.at:
                    log_check.compare_checkpoint(waiting.popleft())
                log_check.compare_checkpoint(checkpoint)
        else:
            _meet_all(log_check, waiting)
            _compare(log_check, size, read)
            log_check.check_order(read["number"])
            size = read["place"] + 1
            waiting.extend(log_check.kept_between(size - 1, size))
    _meet_all(log_check, waiting)
    log_check.end(size, log_check.kept_between(size, store.MAX_SIZE), exported=True)
    return log_check.report(size, 0)


def keys_of(lines: Iterable[str], keys: Keys) -> Keys:
    """Return these keys and the keys that replaced them, as the records in this export say."""
    return _sealing_keys(lines, keys).keys


def _sealing_keys(lines: Iterable[str], keys: Keys, ends: Mapping[str, int] | None = None) -> Succession:
    replaced = (
        (place, signed)
        for place, event in _records(lines, EventKind.SEAL_KEY_REPLACED)
        if (signed := replacement_of(event))
    )
    return succession(replaced, keys, ends)


def _records(lines: Iterable[str], kind: EventKind) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the events of this kind that contain a record, each with its place in the sealed log.

    The order is that of the lines. If it is not the order of the places, `verify_export` reports missing leaves.
    """
    for line in lines:
        if kind in line and (read := read_line(line)) and (event := read.get("event")) and record_in(event, kind):
            yield read["place"], event


def _newest(tx: Tx) -> tuple[int, str]:
    newest = store.newest_checkpoint(tx.connection) if store.is_there(tx.connection) else None
    if newest is None:
        raise NotFound("No event in this database is sealed.", "Start a server of this version: it seals the events.")
    return newest


def _batch(tx: Tx, *, after: int, size: int) -> tuple[list[str], int]:
    """Return the lines of the next leaves and of their checkpoints, and the place after the last of these leaves.

    Checkpoints of `size` leaves are left out, because they are written at the end of the export.
    """
    start, end = after + 1, min(after + 1 + BATCH, size)
    leaves = [leaf for leaf in store.leaves(tx.connection, after=after, limit=end - start) if leaf.position < end]
    fitting = len(numbers_fitting(tx.connection, [leaf.event_id for leaf in leaves]))
    if fitting < len(leaves):
        leaves, end = leaves[:fitting], leaves[fitting].position
    rows = store.events_by_number(tx.connection, [leaf.event_id for leaf in leaves])
    checkpoints: dict[int, list[str]] = {}
    for covered, signed in store.checkpoints_between(tx.connection, start, min(end, size - 1)):
        checkpoints.setdefault(covered, []).append(signed)
    lines = []
    for leaf in leaves:
        its = rows.get(leaf.event_id)
        event = json.loads(event_text(its[0]._asdict())) if its else None
        lines.append(leaf_line(event=event, hash_=leaf.hash, number=leaf.event_id, place=leaf.position))
        lines += map(checkpoint_line, checkpoints.get(leaf.position + 1, ()))
    return lines, end


def _last_checkpoints(tx: Tx, *, size: int, signed: str) -> list[str]:
    """Return the lines of the first checkpoint of this size and of the checkpoint `signed`, in this order.

    Checkpoints that servers signed since the export began are left out.
    """
    first = [each for _, each in store.checkpoints_between(tx.connection, size - 1, size)][:1]
    return [checkpoint_line(each) for each in dict.fromkeys([*first, signed])]


def _meet_all(log_check: LogCheck, waiting: deque[Checkpoint]) -> None:
    """Compare the tree with the remaining checkpoints in `waiting`, which have the size of the tree."""
    while waiting:
        log_check.compare_checkpoint(waiting.popleft())


def _compare(log_check: LogCheck, size: int, read: Mapping[str, Any]) -> None:
    """Check the line of a leaf: its place must be `size`, and its hash must match its event."""
    number, event = read["number"], read["event"]
    if read["place"] != size:
        log_check.report_missing_leaf(size)
    if event is None:
        log_check.report_missing_event(read["place"], number, bytes.fromhex(read["hash"]))
    elif event.get("id") != number or text_hash(exact(event)).hex() != read["hash"]:
        log_check.add_finding(f"Event {number} was changed: the event differs from its seal.")
    else:
        log_check.confirm_event(size, drop_of(event))
    log_check.append_leaves([(number, bytes.fromhex(read["hash"]))])
