"""Keep the events of one change together when a drop removes events.

All events of a change have one time, so a cut at midnight does not divide them. But the sealer seals some hundred
events in one pass. A checkpoint of before midnight may cover the first events of a change, and a later one the others.
If a drop removed the first events only, the last event would seem to say all that the change revoked.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, func, select

from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.unsealed import BATCH
from authsec_server.audit.store import events, sealed_events

_first, _its_seal = events.alias("first_part"), sealed_events.alias("first_seal")
_rest, _other_seal = events.alias("rest"), sealed_events.alias("other_seal")
_OF_ONE_CHANGE = and_(
    _first.c.at == _rest.c.at,
    _first.c.authority_version == _rest.c.authority_version,
    _first.c.request_id == _rest.c.request_id,
    _first.c.decision.is_(None),
    _rest.c.decision.is_(None),
)


def size_before(connection: Connection, time: datetime) -> int:
    """Return how many leaves the last checkpoint before this time covers, without the leaves of a divided change."""
    size = store.size_before(connection, time)
    # The next pass sealed the rest of the change first.
    rest = _other_seal.c.position.between(size, size + BATCH - 1), _rest.c.at < time
    statement = (
        select(func.min(_its_seal.c.position))
        .select_from(_other_seal)
        .join(_rest, _rest.c.id == _other_seal.c.event_id)
        .join(_first, _OF_ONE_CHANGE)
        .join(_its_seal, _its_seal.c.event_id == _first.c.id)
        .where(*rest, _its_seal.c.position < size)
    )
    first: int | None = connection.execute(statement).scalar_one()
    return size if first is None else first
