"""The order of the sealing keys: each key signs its successor, in an event that the key itself seals.

The checkpoint that covers that event is the last one that the old key may sign.
The attack: a person who finds an old key extends the log, names another successor, or signs a drop record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from authsec.jose import JoseError, PrivateKey, PublicKey, parse_compact, sign_compact

from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.checkpoints import CheckpointRefused, Keys, record_in, signed_claims

TYPE: Final = "authsec-audit-key+jwt"
LONGEST: Final = 4096  # characters of a record; one of a key has some 500
NEVER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """All trusted `keys` by `kid`. `ends`: how many leaves a checkpoint of a replaced key may cover at most.

    `after` maps each replaced key to its successor.
    The check of all events shows whether the events that say so match their seals.
    """

    keys: Keys
    ends: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)

    def end(self, kid: str) -> int:
        """Return how many leaves a checkpoint of this key may cover at most."""
        return self.ends.get(kid, NEVER)

    def present(self, kid: str) -> str:
        """Return the `kid` of the current key, which replaced this one directly or through others."""
        while kid in self.after:
            kid = self.after[kid]
        return kid


def succession(records: Iterable[tuple[int, str]], keys: Keys, ends: Mapping[str, int] | None = None) -> Succession:
    """Apply these replacement records to the keys. The records are in the order of their events' places.

    `ends` are the ends that are known already.
    A record is valid only if its key was not replaced before. The first valid record of a key wins.
    """
    known, ended, after = dict(keys), dict(ends or {}), dict[str, str]()
    for place, signed in records:
        try:
            old, new = _read(signed, known)
        except CheckpointRefused:
            continue  # whoever writes to the database can write such an event, and it says nothing
        kid = new.thumbprint()
        if old in after or kid in after or kid == old or place >= ended.get(old, NEVER):
            continue
        known[kid], after[old], ended[old] = new, kid, place + 1
    return Succession(keys=known, ends=ended, after=after)


def sign_replacement(new: PublicKey, *, at: datetime, issuer: str, key: PrivateKey) -> str:
    """Sign the record by which the old key names its successor."""
    header = {"typ": TYPE, "kid": key.public.thumbprint()}
    return sign_compact(header, {"iss": issuer, "iat": int(at.timestamp()), "key": new.to_jwk()}, key)


def replacement_of(event: Mapping[str, Any]) -> str | None:
    """Return the replacement record that the event carries. The signature is not verified."""
    return record_in(event, EventKind.SEAL_KEY_REPLACED)


def is_replacement(signed: str) -> bool:
    """Whether the text has the form of a replacement record. The signature is not verified."""
    try:
        return len(signed) <= LONGEST and parse_compact(signed).header.get("typ") == TYPE
    except JoseError:
        return False


def is_signed(signed: str, keys: Keys) -> bool:
    """Whether one of these keys has signed the record."""
    try:
        _read(signed, keys)
    except CheckpointRefused:
        return False
    return True


def _read(signed: str, keys: Keys) -> tuple[str, PublicKey]:
    kid, claims = signed_claims(signed, keys, TYPE, "record of a replaced key")
    try:
        new = PublicKey.from_jwk(claims["key"])
    except (JoseError, KeyError, TypeError, AttributeError):
        raise CheckpointRefused("is not a record of a replaced key") from None
    return kid, new
