"""The journal's verbs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from authsec_server.audit import store
from authsec_server.audit.model import Event, EventKind, Recorded, Refusal, Tally
from authsec_server.db import Tx
from authsec_server.principal import Act, Principal, Role

MAX_PAGE = 201  # a page of the admin API, and one more to know whether another follows


def record(tx: Tx, event: Event) -> int:
    """Make the event part of this transaction; its number. What is not committed did not happen."""
    return store.add(tx.connection, event)


def record_act(tx: Tx, act: Act, kind: EventKind, **what: Any) -> int:
    """Record what a principal did; `what` are the further fields of `Event`."""
    event = Event(
        at=act.now,
        kind=kind,
        request_id=act.request_id,
        principal=act.principal,
        address=act.address,
        authority_version=tx.version,
        **what,
    )
    return record(tx, event)


def count_refusals(tx: Tx, tallies: Mapping[Refusal, Tally], now: datetime) -> None:
    """Add refusals of unproved callers to this minute's counted rows."""
    store.count(tx.connection, tallies, now.replace(second=0, microsecond=0))


def newest(
    tx: Tx, principal: Principal, *, before: int | None = None, limit: int = 50, request_id: str | None = None
) -> list[Recorded]:
    """A page of the journal, newest first."""
    principal.require(Role.VIEWER)
    return store.newest(tx.connection, before=before, limit=max(1, min(limit, MAX_PAGE)), request_id=request_id)


def prepare_months(tx: Tx, now: datetime) -> None:
    """Have the partitions ready that the coming weeks need."""
    store.prepare_months(tx.connection, now)
