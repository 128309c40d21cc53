"""Signed records of database restores. Each excuses the checkpoints that the database had signed and then lost.

The sealing key signs a record, so raw SQL cannot forge one.
A record excuses checkpoints up to its time only.
The attack: the record is copied into an older database, to hide what was signed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

from authsec.jose import PrivateKey, sign_compact
from sqlalchemy import Connection

from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import (
    CheckpointRefused,
    Keys,
    counting_number,
    read_checkpoint,
    record_in,
    signed_claims,
    signing_kid,
)
from authsec_server.audit.sealing.succession import Succession, succession

TYPE: Final = "authsec-audit-restored+jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """A restore: `authsec admin restored` ran `at` that time and raised the version to `authority_version`.

    The record excuses checkpoints signed until `checkpoints_until`, and all checkpoints of the `unknown_keys`.
    `unknown_keys` are sealing keys that the backup did not have.
    `revoked_keys` signed tokens after the backup; no event of this database names them.
    The log had `size` leaves at that time. Records of the first versions lack `version_before`.
    """

    at: datetime
    authority_version: int
    size: int
    checkpoints_until: datetime
    unknown_keys: tuple[str, ...] = ()
    revoked_keys: tuple[str, ...] = ()
    version_before: int | None = None


def sign_restore(restore: Restore, *, issuer: str, key: PrivateKey) -> str:
    """Sign the record with the sealing key."""
    claims = {
        "iss": issuer,
        "iat": int(restore.at.timestamp()),
        "at": restore.at.isoformat(timespec="microseconds"),
        "authority_version": restore.authority_version,
        "size": restore.size,
        "checkpoints_until": int(restore.checkpoints_until.timestamp()),
        "unknown_keys": list(restore.unknown_keys),
        "revoked_keys": list(restore.revoked_keys),
        "version_before": restore.version_before,
    }
    return sign_compact({"typ": TYPE, "kid": key.public.thumbprint()}, claims, key)


def read_restore(signed: str, keys: Keys) -> tuple[str, Restore]:
    """Verify the record. Return the signer's `kid` and the record. Raises `CheckpointRefused`."""
    kid, claims = signed_claims(signed, keys, TYPE, "record of a restored database")
    before = claims.get("version_before")
    try:
        return kid, Restore(
            at=datetime.fromisoformat(claims["at"]) if "at" in claims else _instant(claims.get("iat")),
            authority_version=counting_number(claims.get("authority_version")),
            size=counting_number(claims.get("size")),
            checkpoints_until=_instant(claims.get("checkpoints_until")),
            unknown_keys=tuple(str(each) for each in claims.get("unknown_keys") or ()),
            revoked_keys=tuple(str(each) for each in claims.get("revoked_keys") or ()),
            version_before=None if before is None else counting_number(before),
        )
    except (ValueError, TypeError, OverflowError, OSError):
        raise CheckpointRefused("is not a record of a restored database") from None


def restores_in(connection: Connection, keys: Keys) -> list[Restore]:
    """Return the records in this database that one of the keys signed, oldest first.

    A replaced key can sign none: its record is valid only if the key itself sealed the event.
    """
    records = store.records(connection, EventKind.AUTHORITY_RESTORED)
    if (first := next(records, None)) is None:
        return []
    return believed_restores(chain([first], records), succession(store.replacements(connection), keys))


def restore_of(event: Mapping[str, Any]) -> str | None:
    """Return the restore record that the event carries. The signature is not verified."""
    return record_in(event, EventKind.AUTHORITY_RESTORED)


def believed_restores(records: Iterable[tuple[int | None, str | None]], believing: Succession) -> list[Restore]:
    """Return the valid ones of these records, oldest first, each once.

    Each record comes with the place of its event in the log; None if the event is not sealed.
    """
    found: dict[str, Restore] = {}
    for place, signed in records:
        if signed and signed not in found and (restore := _believed(signed, believing, place)):
            found[signed] = restore
    return sorted(found.values(), key=lambda each: each.at)


def excuses(restore: Restore, signed: str, keys: Keys) -> bool:
    """Whether the record excuses this checkpoint: the database signed it and lost it by the restore."""
    try:
        return read_checkpoint(signed, keys).at <= restore.checkpoints_until
    except CheckpointRefused:
        return signing_kid(signed) in restore.unknown_keys


def excused_until(restores: Sequence[Restore]) -> datetime | None:
    """Return the time up to which checkpoints are excused; None if no restore was recorded."""
    return max((each.checkpoints_until for each in restores), default=None)


def _believed(signed: str, believing: Succession, place: int | None) -> Restore | None:
    try:
        kid, restore = read_restore(signed, believing.keys)
    except CheckpointRefused:
        return None  # whoever writes to the database can write such an event
    if kid in believing.ends and (place is None or place >= believing.ends[kid]):
        return None
    return restore


def _instant(value: Any) -> datetime:
    return datetime.fromtimestamp(counting_number(value), UTC)
