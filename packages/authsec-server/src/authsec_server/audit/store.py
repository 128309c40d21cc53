"""The table of events. On PostgreSQL it is partitioned by month (of `at`), so that old months can be let go whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Column, Connection, Index, Integer, Row, String, Table, Text, insert, select, text
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.audit.model import Decision, Event, EventKind, Named, Recorded, Refusal, Tally
from authsec_server.db.schema import BigId, Instant, metadata
from authsec_server.principal import Principal, PrincipalKind, Role

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
    Column("delegations", JSON, nullable=False),
    Column("roles", JSON, nullable=False),
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
    Column("detail", JSON, nullable=False),
    Column("occurrences", Integer, nullable=False),
    Column("count_key", String(128)),  # set only on counted refusals: one row per key and minute
    Index("ix_events_at", "at"),
    Index("ix_events_client_id_at", "client_id", "at"),
    Index("ix_events_request_id", "request_id"),
    Index("ix_events_jti", "jti"),
    Index("uq_events_at_count_key", "at", "count_key", unique=True),
    sqlite_autoincrement=True,  # a number, once given, is never given again
)


def add(connection: Connection, event: Event) -> int:
    """Insert the event; its number."""
    statement = insert(events).values(**_row(event), occurrences=1).returning(events.c.id)
    number: int = connection.execute(statement).scalar_one()
    return number


def count(connection: Connection, tallies: Mapping[Refusal, Tally], minute: datetime) -> None:
    """Add to the minute's counted rows, making those that are missing."""
    upsert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    # In one order always: two processes that add to the same rows must not wait for each other in a circle.
    for refusal, tally in sorted(tallies.items(), key=lambda item: _count_key(item[0])):
        event = Event(
            at=minute,
            kind=refusal.kind,
            request_id=tally.request_id,
            client=refusal.client,
            subject=refusal.subject,
            decision=Decision.DENIED,
            reason=refusal.reason,
            address=refusal.address,
        )
        statement = upsert(events).values(**_row(event), occurrences=tally.count, count_key=_count_key(refusal))
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["at", "count_key"],
                set_={"occurrences": events.c.occurrences + statement.excluded.occurrences},
            )
        )


def newest(connection: Connection, *, before: int | None, limit: int, request_id: str | None) -> list[Recorded]:
    """The newest events first, below the number `before`."""
    statement = select(events).order_by(events.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(events.c.id < before)
    if request_id is not None:
        statement = statement.where(events.c.request_id == request_id)
    return [_recorded(row) for row in connection.execute(statement)]


def prepare_months(connection: Connection, now: datetime, *, ahead: int = 2) -> None:
    """Make this month's partition and those `ahead` (PostgreSQL; elsewhere there is nothing to do)."""
    if connection.dialect.name != "postgresql":
        return
    start = datetime(now.year, now.month, 1, tzinfo=UTC)
    for _ in range(ahead + 1):
        end = (start + timedelta(days=32)).replace(day=1)
        if not _is_there(connection, f"events_{start:%Y_%m}"):
            _make_month(connection, f"events_{start:%Y_%m}", start, end)
        start = end


def _make_month(connection: Connection, name: str, start: datetime, end: datetime) -> None:
    """One partition. What the default partition holds of that month, from days without one, moves along."""
    connection.execute(text("LOCK TABLE events IN ACCESS EXCLUSIVE MODE"))
    if _is_there(connection, name):  # another server was first
        return
    connection.execute(text(f"CREATE TABLE {name} (LIKE events INCLUDING DEFAULTS)"))
    taken = "DELETE FROM events_default WHERE at >= :start AND at < :end RETURNING *"
    connection.execute(
        text(f"WITH moved AS ({taken}) INSERT INTO {name} SELECT * FROM moved"),  # noqa: S608 - a name made here
        {"start": start, "end": end},
    )
    # The bounds are no values for the server to bind, but part of the definition; both are ours.
    bounds = f"FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
    connection.execute(text(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES {bounds}"))


def _is_there(connection: Connection, name: str) -> bool:
    return connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar_one() is not None


def _count_key(refusal: Refusal) -> str:
    ids = [named.id if named else "" for named in (refusal.client, refusal.subject)]
    return "|".join([refusal.kind, refusal.reason, *ids, refusal.address])


def _row(event: Event) -> dict[str, Any]:
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
        "detail": dict(event.detail),
    }


def _recorded(row: Row[Any]) -> Recorded:
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
            detail=row.detail,
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
