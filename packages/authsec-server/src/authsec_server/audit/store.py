"""The tables of events, of their seals, and of the counts and number ranges computed from them.

On PostgreSQL the events are partitioned by month (`partitions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    insert,
    text,
    update,
)

from authsec_server.audit.event_macs import event_mac
from authsec_server.audit.event_numbers import next_numbers
from authsec_server.audit.event_shape import is_event
from authsec_server.audit.model import DIGESTS, Decision, Event, EventKind, Named, Recorded
from authsec_server.audit.shortening import shortened
from authsec_server.db.driver import insert_rows
from authsec_server.db.interference import changes, refuse_any_interference
from authsec_server.db.schema import BigId, CanonicalJson, Instant, metadata
from authsec_server.db.table_digests import Digests
from authsec_server.failures import Conflict
from authsec_server.principal import Principal, PrincipalKind, Role

# The conditions of partial indexes. A statement uses such an index only if it has the same condition, word for word.
DENIED = "decision = 'denied'"
ACT = "kind NOT IN ('token.issued', 'token.refused')"
REFUSED = "kind = 'token.refused'"
SEE_WHAT_ELSE = "To see all changes: authsec audit verify --key SAVED-KEYS.json"


def _partial(name: str, *columns: str, only: str) -> Index:
    return Index(name, *columns, sqlite_where=text(only), postgresql_where=text(only))


events = Table(
    "events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # PostgreSQL wants the partition key in every unique key; the migration makes its primary key (id, at).
    Column("at", Instant, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("request_id", String(40), nullable=False),
    Column("principal_kind", String(20)),
    Column("principal_id", String(36)),
    Column("principal_name", Text),
    Column("principal_role", String(10)),
    Column("client_id", String(36)),
    Column("client_name", Text),
    Column("delegations", CanonicalJson, nullable=False),
    Column("roles", CanonicalJson, nullable=False),
    Column("subject_id", String(80)),
    Column("subject_name", Text),
    Column("decision", String(10)),
    Column("reason", String(40), nullable=False),
    Column("address", String(45), nullable=False),
    Column("authority_version", BigId),
    Column("jti", String(40), nullable=False),
    Column("kid", String(64), nullable=False),
    Column("token_sha256", String(64), nullable=False),
    Column("expires_at", Instant),
    Column("detail", CanonicalJson, nullable=False),
    Column("occurrences", Integer, nullable=False),
    Column("count_key", String(128)),  # set only on counted refusals: one row per key and minute
    Column("mac", LargeBinary),  # shows the sealer that a server wrote the row (`event_macs`); no reader needs it
    # Each token updates these indexes. A search by time uses the last one, which begins with `at`.
    Index("ix_events_client_id_id", "client_id", "id"),
    _partial("ix_events_client_id_expires_at", "client_id", "expires_at", only="expires_at IS NOT NULL"),
    Index("ix_events_request_id", "request_id"),
    Index("ix_events_jti", "jti"),
    Index("uq_events_at_count_key", "at", "count_key", unique=True),
    # Only refusals and administrators' actions update these indexes.
    _partial("ix_events_denied_id", "id", only=DENIED),
    _partial("ix_events_denied_reason_id", "reason", "id", only=DENIED),
    _partial("ix_events_denied_client_id_id", "client_id", "id", only=DENIED),
    _partial("ix_events_act_id", "id", only=ACT),
    _partial("ix_events_act_kind_id", "kind", "id", only=ACT),
    _partial("ix_events_principal_id", "principal_kind", "principal_id", "id", only="principal_kind IS NOT NULL"),
    _partial("ix_events_subject_id_id", "subject_id", "id", only="subject_id IS NOT NULL"),
    sqlite_autoincrement=True,  # a number is never used again, even after its row was deleted
)

# Which events name which delegation: a filter must not search the text of `events.delegations`. `verify` compares both.
event_delegations = Table(
    "event_delegations",
    metadata,
    Column("delegation_id", String(36), primary_key=True),
    Column("event_id", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# The log that seals them (`sealing`): a hash for each, in the order of sealing.
sealed_events = Table(
    "sealed_events",
    metadata,
    Column("position", BigId, primary_key=True, autoincrement=False),  # from 0, without a gap
    Column("event_id", BigInteger, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
)

# The signed checkpoints of the log: of each minute the last, of each size the first and the last.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", BigId, primary_key=True, autoincrement=False),
    Column("at", Instant, primary_key=True),
    Column("signed", Text, nullable=False),
)

# The roll-up has counted the events up to the number `through`, and those dated before `until`.
counted = Table(
    "counted",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("until", Instant, nullable=False),
    Column("rebuilds", BigInteger, nullable=False, server_default="0"),  # another after each write of `count_rebuild`
    Column("through", BigInteger, nullable=False, server_default="0"),
    Column("top", BigInteger, nullable=False, server_default="0"),  # the highest number at `top_at`
    Column("top_at", Instant),
)

# The numbers of an hour's events: a filter by time looks between them (`number_ranges`); `verify` checks them.
number_ranges = Table(
    "number_ranges",
    metadata,
    Column("hour", Instant, primary_key=True),
    Column("lowest", BigInteger, nullable=False),
    Column("highest", BigInteger, nullable=False),
)

hourly_counts = Table(
    "hourly_counts",
    metadata,
    Column("hour", Instant, primary_key=True),
    Column("kind", String(40), primary_key=True),
    Column("reason", String(40), primary_key=True),
    Column("occurrences", BigInteger, nullable=False),
)

client_counts = Table(
    "client_counts",
    metadata,
    Column("client_id", String(36), primary_key=True),
    Column("hour", Instant, primary_key=True),
    Column("kind", String(40), primary_key=True),
    Column("reason", String(40), primary_key=True),
    Column("occurrences", BigInteger, nullable=False),
    _partial("ix_client_counts_refused_hour", "hour", only=REFUSED),
)

daily_uses = Table(
    "daily_uses",
    metadata,
    Column("subject_id", String(36), primary_key=True),  # of a client, a delegation or a role
    Column("day", Instant, primary_key=True),
    Column("action", String(127), primary_key=True),
    Column("tokens", BigInteger, nullable=False),
)

# One row per subject and month: the rows of a dropped month never change again.
last_uses = Table(
    "last_uses",
    metadata,
    Column("subject_id", String(36), primary_key=True),  # of a client, a delegation, a role or a proof
    Column("month", Instant, primary_key=True),
    Column("granted_at", Instant),
    Column("refused_at", Instant),
    Column("refused_reason", String(40)),
    # The dashboard finds unused delegations by it. With both columns of that query, SQLite does not read the table.
    _partial("ix_last_uses_granted", "subject_id", "granted_at", only="granted_at IS NOT NULL"),
)


_INSERT = insert(events).execution_options(preserve_rowcount=True)


def add(connection: Connection, event: Event, key: bytes | None) -> int:
    """Insert the event with its MAC by this key, and return its number. Without a key, it has none until `complete`.

    Raises `Unavailable` if a trigger or a rule interferes.
    """
    # Separate values: building a statement without values takes a tenth of the time.
    (number,) = next_numbers(connection, 1, event.at)
    before = changes(connection)
    inserted = connection.execute(_INSERT, with_mac({**row_of(event), "id": number, "occurrences": 1}, key)).rowcount
    refuse_any_interference(connection, events.name, before, rows=1, written=inserted)
    links = [(id_, number) for id_ in delegation_ids(event)]
    insert_rows(connection, event_delegations.name, ("delegation_id", "event_id"), links, keep=True)
    return number


def with_mac(row: Mapping[str, Any], key: bytes | None) -> dict[str, Any]:
    """Return a new row of `events` with its MAC by this key; without a key, with none."""
    whole = {"count_key": None, **row}
    return whole if key is None else {**whole, "mac": event_mac(key, whole)}


def complete(connection: Connection, number: int, event: Event, digests: Digests, key: bytes | None) -> None:
    """Add to the event of a change the digests of the changed tables, before and after it, and the MAC by this key.

    Raises `Unavailable` if a trigger or a rule interferes.
    """
    if not digests and key is None:
        return
    detail = shortened(event.detail)
    if digests:
        detail = {**detail, DIGESTS: {name: list(both) for name, both in digests.items()}}
    row, before = (events.c.id == number, events.c.at == event.at), changes(connection)
    new = with_mac({**row_of(event), "id": number, "occurrences": 1, "detail": detail}, key)
    changed = {name: new[name] for name in ("detail", "mac") if name in new}
    written = connection.execute(update(events).where(*row).values(**changed)).rowcount
    refuse_any_interference(connection, events.name, before, rows=1, written=written)


def delegation_ids(event: Event) -> list[str]:
    """Return the ids of the delegations that the event names, each once."""
    return sorted({named.id for named in event.delegations})


def row_of(event: Event) -> dict[str, Any]:
    """Return the columns of the event's row in the table, without its number and its occurrences.

    A detail that exceeds the length limit is shortened.
    """
    return {
        "at": event.at,
        "kind": event.kind,
        "request_id": event.request_id,
        "principal_kind": event.principal.kind if event.principal else None,
        "principal_id": event.principal.id if event.principal else None,
        "principal_name": event.principal.name if event.principal else None,
        "principal_role": event.principal.role.name.lower() if event.principal else None,
        "client_id": event.client.id if event.client else None,
        "client_name": event.client.name if event.client else None,
        "delegations": [asdict(named) for named in event.delegations],
        "roles": [asdict(named) for named in event.roles],
        "subject_id": event.subject.id if event.subject else None,
        "subject_name": event.subject.name if event.subject else None,
        "decision": event.decision,
        "reason": event.reason,
        "address": event.address,
        "authority_version": event.authority_version,
        "jti": event.jti,
        "kid": event.kid,
        "token_sha256": event.token_sha256,
        "expires_at": event.expires_at,
        "detail": shortened(event.detail),
    }


def recorded(row: Row[Any]) -> Recorded:
    """Return the event in this table row. Raises `Conflict` if the row has a form that AuthSec does not write."""
    if not is_event(row._asdict()):
        raise unreadable(row.id)
    return event_in(row)


def unreadable(number: int) -> Conflict:
    """Return the error for an event that raw SQL has made unreadable."""
    return Conflict(_unreadable(number), SEE_WHAT_ELSE)


def stand_in(number: int, at: Any = None) -> Recorded:
    """Return a placeholder for an unreadable event, for lists. It has the event's number and, if readable, its time."""
    readable_at = at if isinstance(at, datetime) else datetime.fromtimestamp(0, UTC)
    problem = f"{_unreadable(number)} {SEE_WHAT_ELSE}"
    kind = EventKind.EVENT_UNREADABLE
    return Recorded(
        id=number, count=1, event=Event(at=readable_at, kind=kind, request_id="", detail={"problem": problem})
    )


def _unreadable(number: int) -> str:
    return f"Event {number} was changed in the database and cannot be read."


def event_in(row: Row[Any]) -> Recorded:
    """Return the event in this row, which `is_event` has accepted."""
    return Recorded(
        id=row.id,
        count=row.occurrences,
        counted=row.count_key is not None,
        event=Event(
            at=row.at,
            kind=EventKind(row.kind),
            request_id=row.request_id,
            principal=_principal(row),
            client=_named(row.client_id, row.client_name),
            delegations=_many(row.delegations),
            roles=_many(row.roles),
            subject=_named(row.subject_id, row.subject_name),
            decision=Decision(row.decision) if row.decision else None,
            reason=row.reason,
            address=row.address,
            authority_version=row.authority_version,
            jti=row.jti,
            kid=row.kid,
            token_sha256=row.token_sha256,
            expires_at=row.expires_at,
            detail={name: value for name, value in row.detail.items() if name != DIGESTS},
            tables=tuple(sorted(row.detail.get(DIGESTS, ()))),
        ),
    )


def _principal(row: Row[Any]) -> Principal | None:
    if row.principal_kind is None:
        return None
    return Principal(
        kind=PrincipalKind(row.principal_kind),
        id=row.principal_id,
        name=row.principal_name,
        role=Role[row.principal_role.upper()],
    )


def _named(id_: str | None, name: str | None) -> Named | None:
    return None if id_ is None else Named(id=id_, name=name or "")


def _many(rows: Sequence[Mapping[str, str]]) -> tuple[Named, ...]:
    return tuple(Named(id=row["id"], name=row["name"]) for row in rows)
