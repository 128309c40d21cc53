"""Write and read the entries of the feed, and delete entries that are no longer needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement

from authsec_server.db import Tx
from authsec_server.db.database import Access
from authsec_server.db.matching import in_batches
from authsec_server.db.versions import MAX_VERSION
from authsec_server.revocations import store
from authsec_server.revocations.model import FeedPage, Revocation, Subject, SubjectKind
from authsec_server.settings import MAX_TOKEN_LIFETIME_CAP

# The cap, not the setting: the setting may have been higher when the tokens were signed. The day is for clocks that
# differ, because `audit verify` expects a row for as long as a token may live.
MATTERS_FOR = timedelta(seconds=MAX_TOKEN_LIFETIME_CAP, days=1)
BATCH = 5_000  # values in one statement
SNAPSHOT_AT_MOST = 10_000  # entries; the other entries follow on further pages
SNAPSHOT_FROM = 1000  # stored entries; a new reader of a feed with so many entries gets a snapshot


def end(tx: Tx, kind: SubjectKind, subject_id: str, now: datetime) -> Revocation:
    """Revoke all tokens of the subject that the server decided to issue before this change.

    Call this function only inside a `change`.
    """
    if tx.access is not Access.CHANGE:
        raise RuntimeError("a revocation outside the exclusive authority lock would have no order")
    return store.add(tx.connection, kind, subject_id, version=tx.version, at=now)


def as_detail(*ended: Revocation) -> dict[str, object]:
    """Return the revoked subjects in the form of an event's `detail`.

    `audit verify` compares this `detail` with the table of revocations.
    """
    return {"ended": [{"kind": each.subject_kind, "id": each.subject_id} for each in ended]}


def begin_epoch(tx: Tx, offset: int) -> int:
    """Add `offset` to the number of every entry, and return the newest number. Only for a restored database.

    No reader of the feed has seen an entry with such a number, so each reader gets a snapshot.
    Call this function only inside a `change`.
    """
    if tx.access is not Access.CHANGE:
        raise RuntimeError("a new epoch outside the exclusive authority lock would have no order")
    store.shift(tx.connection, offset)
    return store.last_sequence(tx.connection)


def highest_version(tx: Tx) -> int:
    """Return the highest plausible version of any entry; 0 without entries.

    An entry revokes tokens with an authority version below the entry's version.
    """
    return store.highest_version(tx.connection)


def since(tx: Tx, sequence: int, limit: int = 500) -> list[Revocation]:
    """Return the entries after `sequence`, in order."""
    return store.since(tx.connection, sequence, limit)


def last(tx: Tx) -> int:
    """Return the number of the newest entry; 0 without entries."""
    return store.last_sequence(tx.connection)


def extent(tx: Tx) -> tuple[int, Revocation | None]:
    """Return the lowest stored number and the newest entry.

    If a server changes the snapshot, at least one of these two values changes.
    """
    oldest, newest = store.bounds(tx.connection)
    return oldest, store.numbered(tx.connection, newest)


def snapshot(tx: Tx) -> tuple[Revocation, ...]:
    """Return the newest entry of each subject, in order."""
    return tuple(store.newest_of_each(tx.connection, SNAPSHOT_AT_MOST))


def page(tx: Tx, sequence: int, limit: int, snapshot: Callable[[Tx], Sequence[Revocation]] = snapshot) -> FeedPage:
    """Build the page of entries after `sequence`, or a snapshot.

    `snapshot` returns the newest entry of each subject, possibly from a cache.
    A reader gets a snapshot if the entry `sequence` was deleted or never existed, because no page can follow it.
    A reader who begins with 0 gets a snapshot in two cases:

    - The feed is long.
    - The feed does not begin with the number 1. Then the first entry was deleted, or raw SQL wrote an entry with
      a number that no page has.
    """
    oldest, newest = store.bounds(tx.connection)
    follows = store.numbered(tx.connection, sequence) if sequence else None
    begins_late = oldest != 1 or newest - oldest >= SNAPSHOT_FROM
    anew = follows is None if sequence else begins_late
    found = snapshot(tx) if anew else since(tx, sequence, limit)
    through = found[-1].sequence if len(found) == (SNAPSHOT_AT_MOST if anew else limit) else newest
    return FeedPage(since=sequence, follows=follows, through=through, last=newest, snapshot=anew, entries=tuple(found))


def forget(tx: Tx, now: datetime, *, version: int = MAX_VERSION) -> None:
    """Delete entries that can no longer revoke a token, because all tokens that they revoke have expired.

    `version` is the authority version at a time when these entries were already old. An entry with a higher version
    stays even if its date is old: the clock of the server that recorded the entry may have been behind.

    Deletion stops at the first entry that must stay, so all entries after it also stay.
    The last entry of a signing key always stays: a thief of the key can sign tokens with a current date, and an API may
    still have the key from an old file.
    """
    store.delete_before(tx.connection, now - MATTERS_FOR, version)


def old_keys(tx: Tx, now: datetime) -> list[str]:
    """List the revoked signing keys whose last entry is old.

    Such an entry prevents the deletion of all later entries.
    """
    return store.keys_before(tx.connection, now - MATTERS_FOR)


def republish(tx: Tx, now: datetime) -> None:
    """Repeat the old entries of signing keys at the end of the feed. Call this function only inside a `change`.

    Afterwards, `forget` can delete the old entries and the entries after them.
    """
    for kid in old_keys(tx, now):
        end(tx, SubjectKind.KEY, kid, now)


def after(tx: Tx, subjects: Collection[Subject], version: int) -> list[Revocation]:
    """Return the entries of these subjects with a higher version than `version`, in order."""
    found = store.after(tx.connection, {id_ for _, id_ in subjects}, version)
    return [each for each in found if each.subject in subjects]


def of_roles(tx: Tx, version: int) -> Iterator[list[Revocation]]:
    """Yield the entries of roles with a higher version than `version`, in order, in batches."""
    after = 0
    while found := store.of_roles(tx.connection, version, after, SNAPSHOT_AT_MOST):
        yield found
        after = found[-1].sequence


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


def is_revoked(jti: ColumnElement[str], version: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the SQL condition that a token was revoked individually.

    `jti` and `version` are the columns with the token's id and authority version in the statement that uses the
    condition. As everywhere, a revocation ends only tokens of lower versions. The attack: after a drop, raw SQL inserts
    a revocation of the token at a version of dropped events, which no event can contradict.
    """
    return store.has_ended(SubjectKind.TOKEN, jti, version)
