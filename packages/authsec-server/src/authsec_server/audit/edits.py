"""What the journal knows of changes: what one of them wrote, and which fields edits changed after a revision."""

from __future__ import annotations

from sqlalchemy import select

from authsec_server.audit import pages
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import EDITS, Event, EventKind, Recorded
from authsec_server.audit.store import events, recorded
from authsec_server.db import Tx
from authsec_server.principal import Act

PAGES, OF_EACH = 10, 200  # looked through, the newest first: who had read something older than that reads it anew


def of_this_change(tx: Tx, act: Act) -> list[Recorded]:
    """The events that this change has written so far, in order."""
    its = (events.c.request_id == act.request_id, events.c.authority_version == tx.version)
    rows = tx.connection.execute(select(events).where(*its).order_by(events.c.id))
    return [recorded(row) for row in rows]


def changed_fields(tx: Tx, thing: str, since: int) -> tuple[str, ...]:
    """The fields that edits changed after that revision of the thing with this id, in order. For any principal."""
    fields: set[str] = set()
    before: int | None = None
    for _ in range(PAGES):
        page = pages.newest(tx.connection, EventFilter(kinds=EDITS), before=before, limit=OF_EACH)
        for event in (each.event for each in page.items if _is_about(each.event, thing)):
            if "revision" not in event.detail:  # a password that somebody changed: no field that others edit
                continue
            if event.detail["revision"] <= since:
                return tuple(sorted(fields))
            fields |= set(event.detail.get("after", ()))
        if (before := page.next) is None:
            break
    return tuple(sorted(fields))


def _is_about(event: Event, thing: str) -> bool:
    if event.kind is EventKind.DELEGATION_EDITED:
        return any(each.id == thing for each in event.delegations)
    named = (event.client, event.subject, *event.roles)
    return any(each is not None and each.id == thing for each in named)
