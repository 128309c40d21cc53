"""The tables of revocations and of the feed's followers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Row,
    ScalarSelect,
    Select,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.db import rows
from authsec_server.db.schema import Instant, metadata
from authsec_server.db.versions import HIGHEST_LIKELY_VERSION
from authsec_server.revocations.model import Revocation, Subject, SubjectKind

revocations = Table(
    "revocations",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("subject_kind", String(20), nullable=False),
    Column("subject_id", String(64), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Index("ix_revocations_subject_kind_subject_id", "subject_kind", "subject_id"),
    Index("ix_revocations_at", "at"),
)


_FOLLOWING = select(func.coalesce(func.max(revocations.c.sequence), 0) + 1).scalar_subquery()


def last_sequence(connection: Connection) -> int:
    """Return the highest number of an entry; 0 without entries."""
    number: int = connection.execute(select(func.coalesce(func.max(revocations.c.sequence), 0))).scalar_one()
    return number


def bounds(connection: Connection) -> tuple[int, int]:
    """Return the lowest and the highest stored number; 1 and 0 without entries."""
    number = revocations.c.sequence
    lowest, highest = connection.execute(
        select(func.coalesce(func.min(number), 1), func.coalesce(func.max(number), 0))
    ).one()
    return lowest, highest


def shift(connection: Connection, offset: int) -> None:
    """Add `offset` to every entry number.

    `offset` must exceed the difference between the highest and the lowest number.
    Otherwise two rows would have the same number during the update.
    """
    connection.execute(update(revocations).values(sequence=revocations.c.sequence + offset))


def highest_version(connection: Connection) -> int:
    """Return the highest version of any entry; 0 without entries. Ignore versions above `HIGHEST_LIKELY_VERSION`."""
    likely = revocations.c.version <= HIGHEST_LIKELY_VERSION
    version: int = connection.execute(
        select(func.coalesce(func.max(revocations.c.version), 0)).where(likely)
    ).scalar_one()
    return version


def numbered(connection: Connection, sequence: int) -> Revocation | None:
    """Return the entry with this number, or None if it was deleted or never existed."""
    return next(iter(_loaded(connection, select(revocations).where(revocations.c.sequence == sequence))), None)


def delete_before(connection: Connection, instant: datetime, version: int) -> None:
    """Delete all entries before the first entry that must stay. Never delete the newest entry.

    These entries must stay:

    - entries with the time `instant` or later;
    - entries with a version above `version`;
    - the last entry of each signing key.

    The deletion leaves no gap in the numbers, because readers treat a gap as a withheld entry.
    The order of the numbers can differ from the order of the times, because the clocks of servers differ.
    """
    columns = revocations.c
    stays = select(columns.sequence).where(
        or_(columns.at >= instant, columns.version > version, columns.sequence.in_(_last_of_keys()))
    )
    first = select(func.coalesce(func.min(stays.subquery().c.sequence), _newest())).scalar_subquery()
    connection.execute(delete(revocations).where(columns.sequence < first, columns.sequence < _newest()))


def keys_before(connection: Connection, instant: datetime) -> list[str]:
    """List the revoked signing keys whose last entry is older than `instant`."""
    columns = revocations.c
    last_ones = columns.sequence.in_(_last_of_keys())
    return list(connection.execute(select(columns.subject_id).where(last_ones, columns.at < instant)).scalars())


def _newest() -> ScalarSelect[int]:
    return select(func.max(revocations.c.sequence)).scalar_subquery()


def _last_of_keys() -> Select[Any]:
    columns = revocations.c
    of_keys = select(func.max(columns.sequence)).where(columns.subject_kind == SubjectKind.KEY)
    return of_keys.group_by(columns.subject_id)


def add(connection: Connection, kind: SubjectKind, subject_id: str, *, version: int, at: datetime) -> Revocation:
    """Insert a revocation. Its number is the one after the highest number."""
    statement = insert(revocations).values(sequence=_FOLLOWING).returning(revocations.c.sequence)
    its = {"subject_kind": kind, "subject_id": subject_id, "version": version, "at": at}
    number = connection.execute(statement, its).scalar_one()
    return Revocation(sequence=number, subject_kind=kind, subject_id=subject_id, version=version, at=at)


def of_version(connection: Connection, version: int) -> list[Revocation]:
    """Return the entries with this version, in order. All of them were written by the same change."""
    wanted = select(revocations).where(revocations.c.version == version)
    return _loaded(connection, wanted.order_by(revocations.c.sequence))


def last_versions(
    connection: Connection, subject_ids: Collection[str], *, below: int | None = None
) -> dict[Subject, int]:
    """Return the highest version among the entries of each subject with one of these ids.

    With `below`, only entries with a version below `below` are included.
    """
    columns = revocations.c
    its = (columns.subject_kind, columns.subject_id)
    statement = select(*its, func.max(columns.version).label("version")).group_by(*its)
    of_these = statement.where(columns.subject_kind.in_(list(SubjectKind)), columns.subject_id.in_(subject_ids))
    if below is not None:
        of_these = of_these.where(columns.version < below)
    return {(SubjectKind(row.subject_kind), row.subject_id): row.version for row in connection.execute(of_these)}


def has_ended(kind: SubjectKind, subject_id: ColumnElement[str], version: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the SQL condition that the subject has a revocation above this authority version.

    `subject_id` and `version` are columns of the statement that uses the condition, so one statement can check many
    subjects.
    """
    columns = revocations.c
    its = (columns.subject_kind == kind, columns.subject_id == subject_id, columns.version > func.coalesce(version, 0))
    return select(revocations.c.sequence).where(*its).exists()


def since(connection: Connection, sequence: int, limit: int) -> list[Revocation]:
    """Return the entries after `sequence`, in order."""
    statement = (
        select(revocations).where(revocations.c.sequence > sequence).order_by(revocations.c.sequence).limit(limit)
    )
    return _loaded(connection, statement)


def newest_of_each(connection: Connection, limit: int) -> list[Revocation]:
    """Return the newest entry of each subject, in the order of the numbers.

    Versions rise with the numbers, so the newest entry of a subject revokes all that earlier entries revoke.
    """
    columns = revocations.c
    # GROUP BY reads only the index. A subquery for each row takes a second if many subjects have a thousand entries.
    of_each = select(func.max(columns.sequence).label("sequence")).group_by(columns.subject_kind, columns.subject_id)
    newest = of_each.subquery()
    joined = select(revocations).join(newest, columns.sequence == newest.c.sequence)
    return _loaded(connection, joined.order_by(columns.sequence).limit(limit))


def after(connection: Connection, subject_ids: Collection[str], version: int) -> list[Revocation]:
    """Return the entries with one of these ids and a higher version than `version`, in order."""
    columns = revocations.c
    of_these = (columns.subject_kind.in_(list(SubjectKind)), columns.subject_id.in_(subject_ids))
    statement = select(revocations).where(*of_these, columns.version > version).order_by(columns.sequence)
    return _loaded(connection, statement)


def of_roles(connection: Connection, version: int, after: int, limit: int) -> list[Revocation]:
    """Return the entries of roles with a higher version than `version`, and a number above `after`, in order."""
    columns = revocations.c
    of_these = (columns.subject_kind == SubjectKind.ROLE, columns.version > version, columns.sequence > after)
    return _loaded(connection, select(revocations).where(*of_these).order_by(columns.sequence).limit(limit))


def _loaded(connection: Connection, statement: Select[Any]) -> list[Revocation]:
    return [rows.read(Revocation, row) for row in connection.execute(statement)]


feed_followers = Table(
    "feed_followers",
    metadata,
    Column("audience", Text, primary_key=True),
    Column("seen_at", Instant, nullable=False),
    Column("proved_at", Instant),
)


def followers_of(connection: Connection, audiences: Collection[str]) -> Sequence[Row[Any]]:
    """Return the rows of the table `feed_followers` for these audiences."""
    wanted = select(feed_followers).where(feed_followers.c.audience.in_(sorted(audiences)))
    return connection.execute(wanted).all()


def note_follower(connection: Connection, proved: Mapping[str, bool], now: datetime) -> None:
    """Save that the APIs with these audiences followed the feed at `now`.

    `proved` says for each audience whether the follower proved its identity by a credential.
    A follower without a proof does not delete the time of an earlier proof.
    """
    upsert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    for audience in sorted(proved):  # sorted: two servers that write the same rows in different orders would deadlock
        its = {"audience": audience, "seen_at": now, "proved_at": now if proved[audience] else None}
        statement = upsert(feed_followers).values(its)
        kept = func.coalesce(statement.excluded.proved_at, feed_followers.c.proved_at)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["audience"], set_={"seen_at": statement.excluded.seen_at, "proved_at": kept}
            )
        )


def delete_followers_before(connection: Connection, instant: datetime) -> None:
    """Delete the followers that were last seen before `instant`."""
    connection.execute(delete(feed_followers).where(feed_followers.c.seen_at < instant))
