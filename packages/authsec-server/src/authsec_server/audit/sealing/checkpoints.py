"""A checkpoint: one signed line that covers all events sealed so far. It can be stored outside the database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from authsec.jose import JoseError, PrivateKey, PublicKey, parse_compact, sign_compact

from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.model import EventKind
from authsec_server.db.served import proved

TYPE: Final = "authsec-audit-checkpoint+jwt"
_SIGNATURE: Final = 64  # octets of an Ed25519 signature (RFC 8032, section 5.1.6)
_ROOT: Final = re.compile(r"[0-9a-f]{64}")
CLOCK_TOLERANCE: Final = timedelta(minutes=5)  # much more than the clocks of two machines may differ
KID: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # an RFC 7638 thumbprint with SHA-256
Keys = Mapping[str, PublicKey]
"""The trusted keys, by `kid`. A checkpoint is accepted only with the signature of one of these keys."""


class CheckpointRefused(Exception):
    """The text is not a valid checkpoint, or none of the keys signed it.

    The message says which of the two is true. It does not quote the text.
    """


class NoCheckpoint(CheckpointRefused):
    """The text is not a checkpoint, or only the beginning of one: its line was not written completely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signed tree checkpoint: at the time `at`, `size` events were sealed. `root` is the tree's root hash (hex).

    The checkpoint covers every event numbered up to `through`. If an event with such a number appears later, raw SQL
    inserted the event.
    `authority_version` is the authority version of the database at that time.
    `signing_keys` are the `kid`s of the active and the prepared key for tokens.
    After a restore, `authority_version` and `signing_keys` show what the database lost.
    `issuer` is the issuer of the server that signed the checkpoint.
    """

    size: int
    root: str
    through: int
    at: datetime
    signed: str = field(repr=False)
    kid: str = ""  # the id of the key that signed the checkpoint
    authority_version: int | None = None
    signing_keys: tuple[str, ...] = ()
    issuer: str = ""


def sign_checkpoint(
    tree: Tree,
    *,
    through: int,
    at: datetime,
    issuer: str,
    key: PrivateKey,
    authority_version: int | None = None,
    signing_keys: Sequence[str] = (),
) -> Checkpoint:
    """Sign a checkpoint of the tree, and return the checkpoint. Raises `Conflict` for an issuer that is not proved."""
    at = at.replace(microsecond=0)
    root = tree.root.hex()
    claims: dict[str, Any] = {
        "iss": proved(issuer),
        "iat": int(at.timestamp()),
        "size": tree.size,
        "root": root,
        "through": through,
    }
    if authority_version is not None:
        claims["authority_version"] = authority_version
    if signing_keys:
        claims["signing_keys"] = list(signing_keys)
    kid = key.public.thumbprint()
    signed = sign_compact({"typ": TYPE, "kid": kid}, claims, key)
    return Checkpoint(
        size=tree.size,
        root=root,
        through=through,
        at=at,
        signed=signed,
        kid=kid,
        authority_version=authority_version,
        signing_keys=tuple(signing_keys),
        issuer=issuer,
    )


def read_checkpoint(signed: str, keys: Keys) -> Checkpoint:
    """Verify the checkpoint's signature and return the checkpoint. Raises `CheckpointRefused`."""
    kid, claims = signed_claims(signed, keys, TYPE, "checkpoint")
    root = claims.get("root")
    try:
        size, through, iat = (counting_number(claims.get(name)) for name in ("size", "through", "iat"))
        at = datetime.fromtimestamp(iat, UTC)
        version = counting_number(claims["authority_version"]) if "authority_version" in claims else None
        signing_keys = _kids(claims.get("signing_keys", []))
    except (ValueError, OverflowError, OSError):
        raise CheckpointRefused("is not a checkpoint of an audit log") from None
    if not isinstance(root, str) or not _ROOT.fullmatch(root):
        raise CheckpointRefused("is not a checkpoint of an audit log")
    return Checkpoint(
        size=size,
        root=root,
        through=through,
        at=at,
        signed=signed,
        kid=kid,
        authority_version=version,
        signing_keys=signing_keys,
        issuer=str(claims.get("iss", "")),
    )


def signing_kid(signed: str) -> str:
    """Return the `kid` in the header of the text; empty if the text is not a JWT. The signature is not verified."""
    try:
        return str(parse_compact(signed).header.get("kid"))
    except JoseError:
        return ""


def signed_claims(signed: str, keys: Keys, kind: str, what: str) -> tuple[str, Mapping[str, Any]]:
    """Verify a signed text of this `typ`. Return the signer's `kid` and the claims. Raises `CheckpointRefused`."""
    try:
        unverified = parse_compact(signed)
    except JoseError as error:
        raise NoCheckpoint(f"cannot be verified: {error}") from None
    if unverified.header.get("typ") != kind or len(unverified.signature) != _SIGNATURE:
        raise NoCheckpoint(f"is not a {what} of an audit log")
    kid = str(unverified.header.get("kid"))
    key = keys.get(kid)
    if key is None:
        raise CheckpointRefused(
            "is signed by a key that was not given: the signature was forged, or the given keys belong to another "
            "authority"
        )
    try:
        return kid, unverified.verified_by(key, algorithms={"EdDSA"}).claims
    except JoseError as error:
        raise CheckpointRefused(f"cannot be verified: {error}") from None


def record_in(event: Mapping[str, Any], kind: EventKind) -> str | None:
    """Return the signed record in the detail of the event; None if the event has another kind or no record.

    The event may be a database row or an exported event.
    """
    detail = event.get("detail") if event.get("kind") == kind else None
    signed = detail.get("record") if isinstance(detail, dict) else None
    return signed if isinstance(signed, str) else None


def counting_number(value: Any) -> int:
    """Return the claim if it is a whole number of at least 0. Raises `ValueError` for any other value."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError
    return value


def _kids(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and KID.fullmatch(each) for each in value):
        raise ValueError
    return tuple(value)


def by_size(checkpoint: Checkpoint) -> tuple[int, datetime]:
    """Return the sort key of checkpoints: by size, and for the same size by time.

    Every message about the largest of several checkpoints names the same checkpoint in this way.
    """
    return checkpoint.size, checkpoint.at


def when(checkpoint: Checkpoint) -> str:
    """Return the checkpoint's time, as it is written in findings."""
    return shown_time(checkpoint.at)


def shown_time(at: datetime) -> str:
    """Return the time, as it is written in findings."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
