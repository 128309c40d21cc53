"""Refusals that a stranger can cause are counted: one row of `events` for each key and minute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from operator import itemgetter
from secrets import SystemRandom, token_bytes
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.audit.event_macs import has_mac
from authsec_server.audit.event_numbers import next_numbers
from authsec_server.audit.model import Decision, Event, Refusal, Tally
from authsec_server.audit.store import SEE_WHAT_ELSE, events, row_of, with_mac
from authsec_server.audit.unreadable_rows import LONGEST_ROW, UNREADABLE, raise_unless_of_a_row, stored_bytes
from authsec_server.db.interference import changes, interference, refuse_any_interference
from authsec_server.failures import Unavailable

MOST_APART: Final = 10  # of one client or principal, from one address, for one reason; two servers may make a few more
# A sealed or counted row never changes.
_GROWS: Final = (
    "NOT EXISTS (SELECT 1 FROM sealed_events WHERE event_id = events.id)"
    " AND NOT EXISTS (SELECT 1 FROM counted WHERE through >= events.id)"
)
# The key of a counted refusal contains these values. Raw SQL can change these columns without the key.
_COUNTED_ALIKE: Final = (
    "kind",
    "reason",
    "client_id",
    "subject_id",
    "principal_kind",
    "principal_id",
    "decision",
    "address",
)
_RANDOM: Final = SystemRandom()  # not an argument: nothing else depends on it, and nobody may predict it
_SALT: Final = token_bytes(16)
_SECOND: Final = 1_000_000  # microseconds: a row is dated within the first second of its minute (`event_shape`)
_FURTHER: Final = 5


def count(connection: Connection, tallies: Mapping[Refusal, Tally], minute: datetime, key: bytes | None) -> None:
    """Add refusals to the rows of this minute, and create missing rows, with their MAC by `key`.

    A row keeps its first `detail`.
    """
    # Sorted by key: two processes that update the same rows in different orders would deadlock.
    keyed = [(_count_key(connection, refusal, minute), refusal, tally) for refusal, tally in tallies.items()]
    for count_key, refusal, tally in sorted(keyed, key=itemgetter(0)):
        event = Event(
            at=minute,
            kind=refusal.kind,
            request_id=tally.request_id,
            principal=refusal.principal,
            client=refusal.client,
            subject=refusal.subject,
            decision=Decision.DENIED,
            reason=refusal.reason,
            address=refusal.address,
            detail=tally.detail,
        )
        # A sealed or counted row never changes. A server with a fast clock may seal or count the row too early.
        times = _times_within(minute, count_key)
        if not any(_added(connection, replace(event, at=at), tally, count_key, key) for at in times):
            raise Unavailable("A refusal could not be recorded: raw SQL has inserted rows with its key.", SEE_WHAT_ELSE)


def _added(connection: Connection, event: Event, tally: Tally, count_key: str, key: bytes | None) -> bool:
    """Insert the row of the refusal, or add to the occurrences of the existing row. Return whether this succeeded.

    Return False if the existing row is already sealed or counted, or if raw SQL has changed or inserted it.
    Raises `Unavailable` if no row is inserted, or if a trigger or a rule interferes.
    """
    if (added := _added_to_existing(connection, event, tally, count_key, key)) is not None:
        return added
    upsert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    (number,) = next_numbers(connection, 1, event.at)
    row = {**row_of(event), "id": number, "occurrences": tally.count, "count_key": count_key}
    statement = upsert(events).values(**with_mac(row, key)).on_conflict_do_nothing(index_elements=["at", "count_key"])
    before = changes(connection)
    written = len(connection.execute(statement.returning(events.c.id)).all())
    refuse_any_interference(connection, events.name, before, rows=written, written=written)
    if written:
        return True
    # On PostgreSQL, another server has just inserted the row.
    added = _added_to_existing(connection, event, tally, count_key, key)
    if added is None:
        raise interference(events.name)
    return added


def _added_to_existing(
    connection: Connection, event: Event, tally: Tally, count_key: str, key: bytes | None
) -> bool | None:
    """Add to the occurrences of the existing row, with a new MAC. Return whether this succeeded; None without a row.

    On PostgreSQL, this waits for a transaction that seals, counts or changes the row.
    """
    its = and_(events.c.at == event.at, events.c.count_key == count_key)
    size: ColumnElement[int] = literal_column(stored_bytes(connection.dialect.name))
    length = connection.execute(select(size).where(its).with_for_update()).scalar()
    if length is None:
        return None
    if length > LONGEST_ROW:
        return False
    try:
        row = connection.execute(select(events).where(its)).one()
    except UNREADABLE as error:
        raise_unless_of_a_row(error)
        return False
    there, wanted = row._asdict(), row_of(event)
    if any(there[name] != wanted[name] for name in _COUNTED_ALIKE) or not (key is None or has_mac(key, there)):
        return False
    new = with_mac({**there, "occurrences": row.occurrences + tally.count}, key)
    statement = (
        update(events)
        .where(its, events.c.id == row.id, text(_GROWS))
        .values(occurrences=new["occurrences"], mac=new["mac"])
    )
    before = changes(connection)
    written = connection.execute(statement).rowcount
    refuse_any_interference(connection, events.name, before, rows=written, written=written)
    return written == 1


def _count_key(connection: Connection, refusal: Refusal, minute: datetime) -> str:
    """Return the key of the row in which the refusal is counted in this minute.

    Refusals with different values of `apart` have different keys, up to `MOST_APART` keys.
    Refusals with further values share the last key.
    """
    ids = [named.id if named else "" for named in (refusal.client, refusal.subject)]
    ids += [refusal.principal.id] if refusal.principal else []
    alike = "|".join([refusal.kind, refusal.reason, *ids, refusal.address])
    if not refusal.apart:
        return alike
    wanted = f"{alike}|{sha256(refusal.apart.encode()).hexdigest()[:8]}"
    apart = events.c.count_key.startswith(f"{alike}|", autoescape=True)
    statement = select(events.c.count_key).where(events.c.at == minute, apart).order_by(events.c.id)
    there: list[str] = list(connection.execute(statement).scalars())
    return wanted if wanted in there or len(there) < MOST_APART else there[-1]


def _times_within(minute: datetime, count_key: str) -> Iterator[datetime]:
    """Yield possible times for the row of the refusal: first the beginning of the minute, then a few random times.

    The second time stays the same in this process, so that further refusals find the row again.
    The attack: raw SQL inserts rows for a coming minute, and a server seals them. Refusals need rows with times that
    raw SQL cannot predict.
    """
    yield minute
    digest = sha256(_SALT + f"{minute.isoformat()}|{count_key}".encode()).digest()
    yield minute + timedelta(microseconds=int.from_bytes(digest) % _SECOND)
    for _ in range(_FURTHER):
        yield minute + timedelta(microseconds=_RANDOM.randrange(_SECOND))
