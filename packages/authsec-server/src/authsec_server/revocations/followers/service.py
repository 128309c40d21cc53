"""The verbs: noting who follows, asking, forgetting."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from authsec_server.db import Tx
from authsec_server.revocations.followers import store
from authsec_server.revocations.followers.model import Seen

KEPT_FOR = timedelta(days=30)  # that somebody followed once


def seen(tx: Tx, audiences: Collection[str]) -> dict[str, Seen]:
    """What is known of these audiences' followers; an audience for which nobody ever did is left out."""
    rows = store.of(tx.connection, audiences)
    return {row.audience: Seen(audience=row.audience, seen_at=row.seen_at, proved_at=row.proved_at) for row in rows}


def note(tx: Tx, proved: Mapping[str, bool], now: datetime) -> None:
    """Note that these audiences are followed for now, and of each whether that was proved."""
    store.note(tx.connection, proved, now)


def forget(tx: Tx, now: datetime) -> None:
    """Delete what was seen last so long ago that it tells nobody anything."""
    store.delete_before(tx.connection, now - KEPT_FOR)
