"""Drop records: each lists the events that were dropped from the log, and is signed by the sealing key.

An event contains the record. This event is sealed before the first row is deleted.
Raw SQL can insert an event that is then sealed, but it cannot sign a record.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from authsec.jose import PrivateKey, sign_compact
from sqlalchemy import Connection

from authsec_server.audit.count_rows import TABLES
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import (
    Checkpoint,
    CheckpointRefused,
    Keys,
    counting_number,
    read_checkpoint,
    record_in,
    signed_claims,
)
from authsec_server.db.served import proved

TYPE: Final = "authsec-audit-drop+jwt"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MONTH: Final = re.compile(r"[1-9][0-9]{3}-(0[1-9]|1[0-2])", re.ASCII)
NEVER_DROPPED: Final = frozenset(
    {
        EventKind.EVENTS_DROPPED,
        EventKind.SEAL_KEY_CREATED,
        EventKind.SEAL_KEY_REPLACED,
        EventKind.MASTER_KEY_CHANGED,
        EventKind.AUTHORITY_RESTORED,
    }
)
"""Kinds of events that are never dropped, because later checks need these events."""
Run = tuple[int, int]
"""The first and the last position of a range without gaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRecord:
    """The record of a drop. `by` dropped `events` events of the months before `before` (2026-08).

    These events had the `places` in the sealed log. `numbers` is their lowest and highest event number.
    `export_sha256` is the hash of the export that contains these events.
    `checkpoint` was the newest checkpoint at the time of the drop.
    """

    before: str
    events: int
    numbers: Run
    places: tuple[Run, ...]
    export_sha256: str
    by: str
    at: datetime
    checkpoint: Checkpoint
    signed: str = field(repr=False)
    kid: str = ""  # the id of the key that signed the record
    counts: Mapping[str, str]  # SHA-256 of each count table's rows before the cut
    tables: Mapping[str, str]  # the digest of each table with digests, at the authority version `version`
    version: int

    @property
    def cut(self) -> datetime:
        """Return the beginning of the month `before`.

        An event may be missing only if it is older than the cut and was sealed before the cut.
        """
        return datetime.fromisoformat(f"{self.before}-01T00:00:00+00:00")

    @property
    def last_place(self) -> int:
        """Return the highest place in the sealed log of an event that was dropped."""
        return self.places[-1][1]

    def covers(self, place: int) -> bool:
        """Whether this record lists the place, so that its event was dropped."""
        at = bisect_right(self.places, place, key=lambda run: run[0]) - 1
        return at >= 0 and place <= self.places[at][1]


def runs(places: Iterable[int]) -> tuple[Run, ...]:
    """Group ascending places into runs: the first and the last place of each sequence without a gap."""
    found: list[list[int]] = []
    for place in places:
        if found and place == found[-1][1] + 1:
            found[-1][1] = place
        else:
            found.append([place, place])
    return tuple((first, last) for first, last in found)


def sign_drop(record: Mapping[str, Any], *, at: datetime, issuer: str, key: PrivateKey) -> str:
    """Sign the drop record, and return the signed text.

    `record` has the members of `DropRecord`, with the signed text of the checkpoint as `checkpoint`.
    """
    header = {"typ": TYPE, "kid": key.public.thumbprint()}
    return sign_compact(header, {"iss": proved(issuer), "iat": int(at.timestamp()), **record}, key)


def read_drop(signed: str, keys: Keys) -> DropRecord:
    """Verify the signatures of the record and of its checkpoint, and return the record. Raises `CheckpointRefused`."""
    kid, claims = signed_claims(signed, keys, TYPE, "record of dropped events")
    checkpoint = read_checkpoint(str(claims.get("checkpoint")), keys)
    try:
        record = DropRecord(
            before=str(claims["before"]),
            events=counting_number(claims["events"]),
            numbers=_run(claims["numbers"]),
            places=tuple(map(_run, claims["places"])),
            export_sha256=str(claims["export_sha256"]),
            by=str(claims["by"]),
            at=datetime.fromtimestamp(counting_number(claims["iat"]), UTC),
            checkpoint=checkpoint,
            signed=signed,
            kid=kid,
            counts=_counts(claims["counts"]),
            tables=_tables(claims["tables"]),
            version=counting_number(claims["authority_version"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise CheckpointRefused("is not a record of dropped events") from None
    if not _is_consistent(record):
        raise CheckpointRefused("is not a record of dropped events")
    return record


def drop_of(event: Mapping[str, Any]) -> str | None:
    """Return the signed drop record in the event's detail; None without one. The signature is not verified."""
    return record_in(event, EventKind.EVENTS_DROPPED)


def drops_in(connection: Connection, keys: Keys) -> list[DropRecord]:
    """Return the drop records in this database that one of the keys signed, each once.

    A forged index may hide a record. Then `verify` reports the missing events of that record.
    """
    return valid_drops((signed for _, signed in store.records(connection, EventKind.EVENTS_DROPPED)), keys)


def valid_drops(signed: Iterable[str | None], keys: Keys) -> list[DropRecord]:
    """Return the drop records that one of the keys signed, each once.

    Without such a signature, a record does not permit any event to be missing.
    The attack: raw SQL copies a signed record into a million events. So each record is returned only once.
    """
    found: dict[str, DropRecord] = {}
    for each in signed:
        with suppress(CheckpointRefused):  # a record without a valid signature is ignored
            if each and each not in found:
                found[each] = read_drop(each, keys)
    return list(found.values())


def _is_consistent(record: DropRecord) -> bool:
    if not _MONTH.fullmatch(record.before) or record.at < record.cut:
        return False
    in_order = all(before[1] < after[0] for before, after in pairwise(record.places))
    number = sum(last - first + 1 for first, last in record.places)
    within = bool(record.places) and record.places[-1][1] < record.checkpoint.size
    return in_order and within and number == record.events and _SHA256.fullmatch(record.export_sha256) is not None


def _counts(value: Any) -> Mapping[str, str]:
    """Check the digests of the count tables in a record, and return the digests.

    Raises `ValueError` if a digest is missing, because the counts of dropped months are checked with these digests.
    """
    names = {table.name for table in TABLES}
    if set(value) != names or not all(_SHA256.fullmatch(digest) for digest in value.values()):
        raise ValueError
    return dict(value)


def _tables(value: Any) -> Mapping[str, str]:
    if not all(type(each) is str for each in value.values()):
        raise ValueError
    return dict(value)


def _run(value: Any) -> Run:
    first, last = map(counting_number, value)
    if first > last:
        raise ValueError
    return first, last
