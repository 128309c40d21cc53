"""Signed records of database restores. A restored database lacks checkpoints that it had signed before.

Each record says which checkpoints were lost, and checks accept that these checkpoints are missing.
The sealing key signs a record, so raw SQL cannot forge one.
A record applies only to checkpoints that were signed up to a time in the record.
The attack: raw SQL copies the record into an older database, to hide that later checkpoints are missing.
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
from authsec_server.audit.sealing.succession import Succession
from authsec_server.db.served import proved

TYPE: Final = "authsec-audit-restored+jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """The record of a database restore, which `authsec admin restored` wrote at the time `at`.

    The command raised the authority version from `version_before` to `authority_version`.
    Records of the first versions lack `version_before`. The log had `size` leaves at that time.
    Checkpoints signed until `checkpoints_until` are recorded as lost, and all checkpoints of `unknown_keys`.
    `unknown_keys` are sealing keys that the backup did not have.
    `revoked_keys` signed tokens after the backup, and no event of this database names them.
    `disabled_clients` are the ids of the agents that the restore disabled. A drop removes the events that say so.
    """

    at: datetime
    authority_version: int
    size: int
    checkpoints_until: datetime
    unknown_keys: tuple[str, ...] = ()
    revoked_keys: tuple[str, ...] = ()
    disabled_clients: tuple[str, ...] = ()
    version_before: int | None = None


def sign_restore(restore: Restore, *, issuer: str, key: PrivateKey) -> str:
    """Sign the restore record with the sealing key, and return the signed text."""
    claims = {
        "iss": proved(issuer),
        "iat": int(restore.at.timestamp()),
        "at": restore.at.isoformat(timespec="microseconds"),
        "authority_version": restore.authority_version,
        "size": restore.size,
        "checkpoints_until": int(restore.checkpoints_until.timestamp()),
        "unknown_keys": list(restore.unknown_keys),
        "revoked_keys": list(restore.revoked_keys),
        "disabled_clients": list(restore.disabled_clients),
        "version_before": restore.version_before,
    }
    return sign_compact({"typ": TYPE, "kid": key.public.thumbprint()}, claims, key)


def read_restore(signed: str, keys: Keys) -> tuple[str, Restore]:
    """Verify the signed record. Return the `kid` of the key that signed it, and the record.

    Raises `CheckpointRefused`.
    """
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
            disabled_clients=tuple(str(each) for each in claims.get("disabled_clients") or ()),
            version_before=None if before is None else counting_number(before),
        )
    except (ValueError, TypeError, OverflowError, OSError):
        raise CheckpointRefused("is not a record of a restored database") from None


def restores_in(connection: Connection, keys: Keys) -> list[Restore]:
    """Return the restore records in this database that one of the keys signed, oldest first.

    A replaced key can sign no new record: its record is valid only if the same key sealed the record's event.
    """
    records = store.records(connection, EventKind.AUTHORITY_RESTORED)
    if (first := next(records, None)) is None:
        return []
    return valid_restores(chain([first], records), store.succession_in(connection, keys))


def restore_of(event: Mapping[str, Any]) -> str | None:
    """Return the signed restore record in the event's detail; None without one. The signature is not verified."""
    return record_in(event, EventKind.AUTHORITY_RESTORED)


def valid_restores(records: Iterable[tuple[int | None, str | None]], sealing_keys: Succession) -> list[Restore]:
    """Return the restore records with a valid signature, oldest first, each once.

    Each item of `records` is an event's place in the sealed log, and the signed text of its record.
    The place is None if the event is not sealed.
    """
    found: dict[str, Restore] = {}
    for place, signed in records:
        if signed and signed not in found and (restore := _valid_restore(signed, sealing_keys, place)):
            found[signed] = restore
    return sorted(found.values(), key=lambda each: each.at)


def declares_lost(restore: Restore, signed: str, keys: Keys) -> bool:
    """Whether this record says that the checkpoint `signed` was lost by the restore.

    The database signed such a checkpoint before the restore, and may lack it now.
    """
    try:
        return read_checkpoint(signed, keys).at <= restore.checkpoints_until
    except CheckpointRefused:
        return signing_kid(signed) in restore.unknown_keys


def lost_until(restores: Sequence[Restore]) -> datetime | None:
    """Return the time up to which signed checkpoints may be missing; None if no restore was recorded."""
    return max((each.checkpoints_until for each in restores), default=None)


def _valid_restore(signed: str, sealing_keys: Succession, place: int | None) -> Restore | None:
    try:
        kid, restore = read_restore(signed, sealing_keys.keys)
    except CheckpointRefused:
        return None  # raw SQL can insert such an event
    if kid in sealing_keys.ends and (place is None or place >= sealing_keys.ends[kid]):
        return None
    return restore


def _instant(value: Any) -> datetime:
    return datetime.fromtimestamp(counting_number(value), UTC)
