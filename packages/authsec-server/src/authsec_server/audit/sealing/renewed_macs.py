"""New MACs for the events that wait for their seal, when the master key is changed.

A sealed event needs no MAC: its leaf proves the event. The sealer and `verify` check the MACs of the other events only.
So after the change, the former master key makes no MAC that they accept.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import exists, select, update

from authsec_server.audit.event_macs import event_mac, has_mac
from authsec_server.audit.event_shape import is_event
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import CheckpointRefused, Keys, read_checkpoint
from authsec_server.audit.store import events, sealed_events
from authsec_server.audit.unreadable_rows import events_one_by_one
from authsec_server.db import Tx
from authsec_server.db.interference import changes, refuse_interference
from authsec_server.failures import Conflict

MOST: Final = 10_000  # events; token requests wait meanwhile


def renew_macs(tx: Tx, keys: Keys, *, old: bytes, new: bytes) -> int:
    """Give each event without a seal a MAC by the key `new`, and return their number. Call only inside a `change`.

    An event without a valid MAC by the key `old` stays as it is: no server wrote the event. `keys` verify checkpoints.
    Raises `Conflict` if the last checkpoint is invalid, or if too many events wait.
    """
    seal = exists().where(sealed_events.c.event_id == events.c.id)
    waiting = select(events.c.id).where(events.c.id > _covered(tx, keys), ~seal).order_by(events.c.id)
    numbers = list(tx.connection.execute(waiting.limit(MOST + 1)).scalars())
    if len(numbers) > MOST:
        raise Conflict(
            f"More than {MOST:,} events wait for their seal.",
            "Start a server with the present master key, and wait until the events are sealed.",
        )
    renewed = 0
    for row in events_one_by_one(tx.connection, numbers):
        its = {} if isinstance(row, int) else row._asdict()
        if not its or not is_event(its) or not has_mac(old, its):
            continue
        before = changes(tx.connection)
        statement = update(events).where(events.c.id == its["id"], events.c.at == its["at"])
        written = tx.connection.execute(statement.values(mac=event_mac(new, its))).rowcount
        refuse_interference(tx.connection, events.name, before, rows=1, written=written)
        renewed += 1
    return renewed


def _covered(tx: Tx, keys: Keys) -> int:
    """Return the number up to which the last checkpoint covers all events; 0 before the first checkpoint."""
    signed = store.last_signed(tx.connection)
    if signed is None:
        return 0
    try:
        return read_checkpoint(signed, keys).through
    except CheckpointRefused as refused:
        raise Conflict(
            f"The log's last checkpoint {refused}, so nothing was changed.", "To see the findings: authsec audit verify"
        ) from None
