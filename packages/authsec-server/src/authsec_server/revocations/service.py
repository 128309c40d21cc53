"""The verbs of ending."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement

from authsec_server.db import Tx
from authsec_server.db.database import Access
from authsec_server.db.matching import in_batches
from authsec_server.revocations import store
from authsec_server.revocations.model import FeedPage, Revocation, Subject, SubjectKind
from authsec_server.settings import MAX_TOKEN_LIFETIME_CAP

# Not the setting: it may have been higher when the tokens were signed. The day is for clocks that differ, since
# `audit verify` expects a row for as long as a token may live.
MATTERS_FOR = timedelta(seconds=MAX_TOKEN_LIFETIME_CAP, days=1)
BATCH = 5_000  # values in one statement
SNAPSHOT_AT_MOST = 10_000  # entries; those beyond follow on further pages
SNAPSHOT_FROM = 1000  # entries that are kept, from which on whoever begins is spared those that later ones cover


def end(tx: Tx, kind: SubjectKind, subject_id: str, now: datetime) -> Revocation:
    """End all tokens of the subject that were decided before this change. Only inside a `change`."""
    if tx.access is not Access.CHANGE:
        raise RuntimeError("a revocation outside the exclusive authority lock would have no order")
    return store.add(tx.connection, kind, subject_id, version=tx.version, at=now)


def as_detail(*ended: Revocation) -> dict[str, object]:
    """The subjects that a change ended, for the detail of its event: `audit verify` compares the two."""
    return {"ended": [{"kind": each.subject_kind, "id": each.subject_id} for each in ended]}


def begin_epoch(tx: Tx, offset: int) -> int:
    """Give every entry a number that is `offset` higher; the newest number. Only inside a `change`.

    For a restored database: no reader of the feed has had an entry with such a number, so each one gets a snapshot.
    """
    if tx.access is not Access.CHANGE:
        raise RuntimeError("a new epoch outside the exclusive authority lock would have no order")
    store.shift(tx.connection, offset)
    return store.last_sequence(tx.connection)


def highest_version(tx: Tx) -> int:
    """The highest version below which an entry ends tokens; 0 before the first."""
    return store.highest_version(tx.connection)


def since(tx: Tx, sequence: int, limit: int = 500) -> list[Revocation]:
    """The feed after `sequence`, in order."""
    return store.since(tx.connection, sequence, limit)


def last(tx: Tx) -> int:
    """The number of the newest entry; 0 before the first."""
    return store.last_sequence(tx.connection)


def extent(tx: Tx) -> tuple[int, Revocation | None]:
    """The lowest number that is kept, and the newest entry: a server that changes a snapshot changes one of these."""
    oldest, newest = store.bounds(tx.connection)
    return oldest, store.numbered(tx.connection, newest)


def snapshot(tx: Tx) -> tuple[Revocation, ...]:
    """The newest entry of each subject, in order."""
    return tuple(store.newest_of_each(tx.connection, SNAPSHOT_AT_MOST))


def page(tx: Tx, sequence: int, limit: int, snapshot: Callable[[Tx], Sequence[Revocation]] = snapshot) -> FeedPage:
    """The feed after `sequence`. `snapshot` gives the newest of each subject, which may have been read before.

    It is a snapshot where that entry is kept no more or never was: nothing could be said then to follow it.
    And for whoever begins with a long feed, or with one that does not begin with number 1: the first entry is kept no
    more, or raw SQL gave an entry a number that no page has.
    """
    oldest, newest = store.bounds(tx.connection)
    follows = store.numbered(tx.connection, sequence) if sequence else None
    begins_late = oldest != 1 or newest - oldest >= SNAPSHOT_FROM
    anew = follows is None if sequence else begins_late
    found = snapshot(tx) if anew else since(tx, sequence, limit)
    through = found[-1].sequence if len(found) == (SNAPSHOT_AT_MOST if anew else limit) else newest
    return FeedPage(since=sequence, follows=follows, through=through, last=newest, snapshot=anew, entries=tuple(found))


def forget(tx: Tx, now: datetime) -> None:
    """Delete what can end no token any more, whatever it covers having expired, and nothing after what still can.

    The last entry of a signing key stays: whoever has stolen it writes tokens that begin today, and an API may have its
    keys from an old file.
    """
    store.delete_before(tx.connection, now - MATTERS_FOR)


def old_keys(tx: Tx, now: datetime) -> list[str]:
    """The revoked signing keys whose entry keeps all that came after it from being forgotten."""
    return store.keys_before(tx.connection, now - MATTERS_FOR)


def say_again(tx: Tx, now: datetime) -> None:
    """Write the entries of old keys anew, at the end, so that what came after them can be forgotten. Only inside a
    `change`."""
    for kid in old_keys(tx, now):
        end(tx, SubjectKind.KEY, kid, now)


def after(tx: Tx, subjects: Collection[Subject], version: int) -> list[Revocation]:
    """What has ended any of these, above that version; in order."""
    found = store.after(tx.connection, {id_ for _, id_ in subjects}, version)
    return [each for each in found if each.subject in subjects]


def of_this_change(tx: Tx) -> list[Revocation]:
    """What this change has ended so far."""
    return store.of_version(tx.connection, tx.version)


def last_versions(tx: Tx, subjects: Collection[Subject], *, below: int | None = None) -> dict[Subject, int]:
    """For each of these: below which version its tokens have ended; as it stood before the version `below`."""
    found: dict[Subject, int] = {}
    for some in in_batches(sorted({id_ for _, id_ in subjects}), BATCH):
        found |= store.last_versions(tx.connection, some, below=below)
    return {subject: version for subject, version in found.items() if subject in subjects}


def is_taken_back(jti: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the token was ended singly, as a part of a statement about tokens."""
    return store.has_ended(SubjectKind.TOKEN, jti)
