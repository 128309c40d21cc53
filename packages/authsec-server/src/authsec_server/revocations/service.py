"""Write, read and expire the revocations of the feed."""

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
    """Revoke all tokens of the subject that were decided before this change. Only inside a `change`."""
    if tx.access is not Access.CHANGE:
        raise RuntimeError("a revocation outside the exclusive authority lock would have no order")
    return store.add(tx.connection, kind, subject_id, version=tx.version, at=now)


def as_detail(*ended: Revocation) -> dict[str, object]:
    """Return the revoked subjects for the detail of the change's event.

    `audit verify` compares the detail with the feed.
    """
    return {"ended": [{"kind": each.subject_kind, "id": each.subject_id} for each in ended]}


def begin_epoch(tx: Tx, offset: int) -> int:
    """Add `offset` to the number of every entry, and return the newest number. Only inside a `change`.

    For a restored database. No reader of the feed has seen an entry with such a number, so each reader gets a
    snapshot.
    """
    if tx.access is not Access.CHANGE:
        raise RuntimeError("a new epoch outside the exclusive authority lock would have no order")
    store.shift(tx.connection, offset)
    return store.last_sequence(tx.connection)


def highest_version(tx: Tx) -> int:
    """Return the highest version of any entry, which revokes tokens below this version; 0 without entries."""
    return store.highest_version(tx.connection)


def since(tx: Tx, sequence: int, limit: int = 500) -> list[Revocation]:
    """Return the entries after `sequence`, in order."""
    return store.since(tx.connection, sequence, limit)


def last(tx: Tx) -> int:
    """Return the number of the newest entry; 0 without entries."""
    return store.last_sequence(tx.connection)


def extent(tx: Tx) -> tuple[int, Revocation | None]:
    """Return the lowest stored number and the newest entry.

    Every change of a snapshot by a server changes one of the two.
    """
    oldest, newest = store.bounds(tx.connection)
    return oldest, store.numbered(tx.connection, newest)


def snapshot(tx: Tx) -> tuple[Revocation, ...]:
    """Return the newest entry of each subject, in order."""
    return tuple(store.newest_of_each(tx.connection, SNAPSHOT_AT_MOST))


def page(tx: Tx, sequence: int, limit: int, snapshot: Callable[[Tx], Sequence[Revocation]] = snapshot) -> FeedPage:
    """Build the page after `sequence`. `snapshot` returns the newest entry of each subject, possibly from a cache.

    The page is a snapshot if the entry `sequence` was deleted or never existed. No page can follow a missing
    entry. A reader who begins also gets a snapshot if the feed is long or does not begin with number 1. The first
    entry then was deleted, or raw SQL wrote an entry with a number that no page has.
    """
    oldest, newest = store.bounds(tx.connection)
    follows = store.numbered(tx.connection, sequence) if sequence else None
    begins_late = oldest != 1 or newest - oldest >= SNAPSHOT_FROM
    anew = follows is None if sequence else begins_late
    found = snapshot(tx) if anew else since(tx, sequence, limit)
    through = found[-1].sequence if len(found) == (SNAPSHOT_AT_MOST if anew else limit) else newest
    return FeedPage(since=sequence, follows=follows, through=through, last=newest, snapshot=anew, entries=tuple(found))


def forget(tx: Tx, now: datetime) -> None:
    """Delete entries that can no longer revoke a token, because all their tokens have expired.

    Entries after one that still matters stay. The last entry of a signing key always stays. The reason: a thief
    of the key can sign tokens with a present date. An API may also load its keys from an old file.
    """
    store.delete_before(tx.connection, now - MATTERS_FOR)


def old_keys(tx: Tx, now: datetime) -> list[str]:
    """List the revoked signing keys with an old entry that prevents the deletion of all later entries."""
    return store.keys_before(tx.connection, now - MATTERS_FOR)


def say_again(tx: Tx, now: datetime) -> None:
    """Write the entries of old keys again at the end of the feed. Only inside a `change`.

    Then `forget` can delete the entries after the old ones.
    """
    for kid in old_keys(tx, now):
        end(tx, SubjectKind.KEY, kid, now)


def after(tx: Tx, subjects: Collection[Subject], version: int) -> list[Revocation]:
    """Return the entries of these subjects with a higher version than `version`, in order."""
    found = store.after(tx.connection, {id_ for _, id_ in subjects}, version)
    return [each for each in found if each.subject in subjects]


def of_this_change(tx: Tx) -> list[Revocation]:
    """Return the entries that this change has written so far."""
    return store.of_version(tx.connection, tx.version)


def last_versions(tx: Tx, subjects: Collection[Subject], *, below: int | None = None) -> dict[Subject, int]:
    """Return for each subject the version below which its tokens are revoked.

    With `below`, only entries with a version under `below` are included. Subjects without an entry are left out.
    """
    found: dict[Subject, int] = {}
    for some in in_batches(sorted({id_ for _, id_ in subjects}), BATCH):
        found |= store.last_versions(tx.connection, some, below=below)
    return {subject: version for subject, version in found.items() if subject in subjects}


def is_taken_back(jti: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the SQL condition that the token itself was revoked, for a statement about tokens."""
    return store.has_ended(SubjectKind.TOKEN, jti)
