"""The table of who was seen at the feed: one row an audience, of those that the authority gives tokens for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, Text, delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.db.schema import Instant, metadata

feed_followers = Table(
    "feed_followers",
    metadata,
    Column("audience", Text, primary_key=True),
    Column("seen_at", Instant, nullable=False),
    Column("proved_at", Instant),
)


def of(connection: Connection, audiences: Collection[str]) -> Sequence[Row[Any]]:
    """The rows of these audiences."""
    wanted = select(feed_followers).where(feed_followers.c.audience.in_(sorted(audiences)))
    return connection.execute(wanted).all()


def note(connection: Connection, proved: Mapping[str, bool], now: datetime) -> None:
    """Write that these audiences were followed for at `now`; who did not prove it takes nobody's proof away."""
    upsert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    for audience in sorted(proved):  # in one order always: two servers must not wait for each other in a circle
        its = {"audience": audience, "seen_at": now, "proved_at": now if proved[audience] else None}
        statement = upsert(feed_followers).values(its)
        kept = func.coalesce(statement.excluded.proved_at, feed_followers.c.proved_at)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["audience"], set_={"seen_at": statement.excluded.seen_at, "proved_at": kept}
            )
        )


def delete_before(connection: Connection, instant: datetime) -> None:
    """Delete those that were seen before that only."""
    connection.execute(delete(feed_followers).where(feed_followers.c.seen_at < instant))
