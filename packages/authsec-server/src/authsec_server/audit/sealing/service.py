"""The operations on the sealed log for callers over HTTP.

The module `sealer` seals events. The module `verifying` verifies the log without a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from authsec_server.audit import pages
from authsec_server.audit.model import EventKind, Recorded, Seal
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import CheckpointRefused, Keys, read_checkpoint
from authsec_server.audit.sealing.log_end import number_of_seals
from authsec_server.audit.sealing.outside import unverified
from authsec_server.audit.sealing.overdue import oldest_waiting_at, waits
from authsec_server.audit.sealing.succession import is_next
from authsec_server.audit.unreadable_rows import numbers_fitting
from authsec_server.db import Tx
from authsec_server.failures import Conflict, NotFound
from authsec_server.principal import Principal, Role

_ONCE_IT_RUNS = "A running server seals the audit log within a second. If not, the server's log says why."
OVERDUE_AFTER = timedelta(minutes=10)
"""An event that counts refusals can grow for five minutes, and is sealed afterwards. The other five minutes are for the
replacement of a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedAfter:
    """Events in the order of sealing, up to the place `last`.

    `dropped` are the seals of dropped events. The events themselves were deleted.
    The newest checkpoint, signed at `checkpoint_at`, covers `sealed` leaves.
    """

    events: tuple[Recorded, ...]
    dropped: tuple[Seal, ...]
    last: int | None
    sealed: int
    checkpoint_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingStatus:
    """The progress of sealing. The newest checkpoint covers `leaves` and was signed at the time `at`.

    Without a checkpoint, `leaves` is 0 and `at` is None.
    `is_overdue` is true if an event has waited for its seal for longer than `OVERDUE_AFTER`.
    If the newest checkpoint is older than `OVERDUE_AFTER`, any event without a seal is overdue.
    """

    leaves: int
    at: datetime | None
    is_overdue: bool


def sealing_status(tx: Tx, principal: Principal, now: datetime) -> SealingStatus:
    """Return how many events are sealed, when the newest checkpoint was signed, and whether a seal is overdue."""
    principal.require(Role.VIEWER)
    checkpoint, at = store.newest_checkpoint(tx.connection), store.newest_at(tx.connection)
    signs = at is not None and now - at <= OVERDUE_AFTER
    # While no checkpoint is signed, no event is too new: raw SQL may give an old event a new time.
    since = now - OVERDUE_AFTER if signs or at is None else now + OVERDUE_AFTER
    return SealingStatus(leaves=checkpoint[0] if checkpoint else 0, at=at, is_overdue=waits(tx.connection, since=since))


def last_checkpoint_at(tx: Tx) -> datetime | None:
    """Return when the newest checkpoint was signed; None without a checkpoint.

    No principal is checked, because only the server itself calls this function.
    """
    return store.newest_at(tx.connection)


def oldest_unsealed_at(tx: Tx, now: datetime) -> datetime | None:
    """Return the time of the oldest event without a seal; None if all have one. See `last_checkpoint_at`."""
    return oldest_waiting_at(tx.connection, since=now - OVERDUE_AFTER)


def version_at(tx: Tx, keys: Keys, time: datetime) -> int:
    """Return the authority version in the newest valid checkpoint up to this time; 0 without one.

    The database had reached this version, because no server dates a checkpoint back. No principal is checked, because
    only the server itself calls this function.
    """
    for signed in store.signed_until(tx.connection, time):
        with suppress(CheckpointRefused):  # raw SQL wrote it; an older checkpoint may be genuine
            checkpoint = read_checkpoint(signed, keys)
            if checkpoint.at <= time:
                return checkpoint.authority_version or 0
    return 0


def newest_checkpoint(tx: Tx, principal: Principal, keys: Keys | None) -> str:
    """Return the newest signed checkpoint. Raises `NotFound` if no event is sealed yet.

    Callers store the checkpoint where the database's administrators cannot write. Without the `keys`, its signature is
    not verified. The attack: raw SQL inserts an older checkpoint as the newest, or deletes the newer ones for a moment,
    and rewinds the log to the older one later. Raises `Conflict` for a row that is not its checkpoint, and for a
    checkpoint that does not cover all seals.
    """
    principal.require(Role.VIEWER)
    newest, seals = store.newest_checkpoint(tx.connection), number_of_seals(tx.connection)
    if newest is None and seals:
        raise _broken(f"The log has {seals:,} seals, but no checkpoint.")
    if newest is None:
        raise NotFound("No event is sealed yet.", _ONCE_IT_RUNS)
    size, signed = newest
    try:
        covered = unverified(signed)[1].get("size") if keys is None else read_checkpoint(signed, keys).size
    except CheckpointRefused as refused:
        raise _broken(f"The log's last checkpoint {refused}.") from None
    if covered != size:
        raise _broken("The log's last checkpoint covers another number of events than its row says.")
    if size != seals:
        raise _broken(
            f"The log's last checkpoint covers {size:,} events, but the log has {seals:,} seals: somebody deleted "
            "checkpoints, or inserted or deleted seals."
        )
    return signed


def _broken(what: str) -> Conflict:
    return Conflict(what, "To see the findings: authsec audit verify")


def present_key(tx: Tx, keys: Keys) -> str:
    """Return the `kid` of the current sealing key.

    Raises `Conflict` before the first checkpoint, and while the key is being replaced.
    Raises `Conflict` also if the last checkpoint is invalid.
    """
    signed = store.last_signed(tx.connection)
    if signed is None:
        raise Conflict("No event is sealed yet.", _ONCE_IT_RUNS)
    try:
        kid = read_checkpoint(signed, keys).kid
    except CheckpointRefused as refused:
        raise _broken(f"The log's last checkpoint {refused}.") from None
    sealing_keys = store.succession_in(tx.connection, keys)
    records = store.records(tx.connection, EventKind.SEAL_KEY_REPLACED)
    if any(place is None and is_next(signed, sealing_keys) for place, signed in records):
        raise Conflict(
            "A replacement of the key is already under way.",
            "The replacement is complete after a server has sealed the record of the replacement.",
        )
    return sealing_keys.present(kid)


def sealing_kid(tx: Tx, keys: Keys) -> str:
    """Return the `kid` of the key that signs the next checkpoint; empty before the first checkpoint.

    Raises `Conflict` if the last checkpoint is invalid.
    """
    signed = store.last_signed(tx.connection)
    if signed is None:
        return ""
    try:
        kid = read_checkpoint(signed, keys).kid
    except CheckpointRefused as refused:
        raise _broken(f"The log's last checkpoint {refused}.") from None
    return store.succession_in(tx.connection, keys).present(kid)


def sealed(tx: Tx) -> int:
    """Return how many events the newest checkpoint covers."""
    checkpoint = store.newest_checkpoint(tx.connection)
    return checkpoint[0] if checkpoint else 0


def ends(tx: Tx, keys: Keys) -> Mapping[str, int]:
    """Return for each replaced key the highest number of leaves that its checkpoints may cover."""
    return store.succession_in(tx.connection, keys).ends


def has_begun(tx: Tx) -> bool:
    """Whether the database has a signed checkpoint."""
    return store.last_signed(tx.connection) is not None


def keys_reached(tx: Tx, keys: Keys) -> Keys:
    """Return these keys and the keys that replaced them, as the audit log says.

    Each new key is signed by the key that it replaced.
    """
    return store.succession_in(tx.connection, keys).keys


def following(tx: Tx, principal: Principal, *, after: int, limit: int) -> SealedAfter:
    """Return the events that were sealed after the place `after`, in the order of sealing.

    At most `limit` leaves are read, or fewer if their events do not fit into memory together.

    A place always belongs to the same event, so a reader that continues by place misses no event.
    By event number a reader could miss events: a transaction takes its number before it commits.
    So a lower number may appear later, but a lower place cannot.
    """
    principal.require(Role.VIEWER)
    leaves = store.leaves(tx.connection, after=after, limit=limit)
    leaves = leaves[: len(numbers_fitting(tx.connection, [leaf.event_id for leaf in leaves]))]
    found = pages.by_ids(tx.connection, [leaf.event_id for leaf in leaves])
    there = {each.id: each for each in reversed(found)}  # of events with one number, the earliest was sealed
    seals = [(leaf.event_id, Seal(place=leaf.position, leaf=leaf.hash.hex())) for leaf in leaves]
    checkpoint = store.newest_checkpoint(tx.connection)
    return SealedAfter(
        events=tuple(replace(there[number], seal=seal) for number, seal in seals if number in there),
        dropped=tuple(seal for number, seal in seals if number not in there),
        last=leaves[-1].position if leaves else None,
        sealed=checkpoint[0] if checkpoint else 0,
        checkpoint_at=store.newest_at(tx.connection),
    )
