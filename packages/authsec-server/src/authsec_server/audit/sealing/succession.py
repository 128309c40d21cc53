"""Which key of the seals comes after which: the old one signs for the new one, in an event that it still seals itself.

The head that covers that event is the last that the old key may sign. So whoever finds the old key later can neither
extend the log, nor name another successor, nor sign a record of what was dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from authsec.jose import JoseError, PrivateKey, PublicKey, parse_compact, sign_compact

from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.heads import HeadRefused, Keys, record_in, signed_claims

TYPE: Final = "authsec-journal-key+jwt"
LONGEST: Final = 4096  # characters of a record; one of a key has some 500
NEVER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """All `keys` that are believed, by `kid`; how many leaves a head of a replaced one may have at most (`ends`).

    `after` is who came after whom. Whether the events that say so are as they were sealed is seen where all events are.
    """

    keys: Keys
    ends: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)

    def end(self, kid: str) -> int:
        """How many leaves a head of this key may have at most."""
        return self.ends.get(kid, NEVER)

    def present(self, kid: str) -> str:
        """The key that signs by now, where this one did once."""
        while kid in self.after:
            kid = self.after[kid]
        return kid


def succession(records: Iterable[tuple[int, str]], keys: Keys, ends: Mapping[str, int] | None = None) -> Succession:
    """What these records, in the order of their events' places, make of the keys. `ends` are those known already.

    A record counts if a key signed it that was not replaced by then. The first one of a key counts.
    """
    known, ended, after = dict(keys), dict(ends or {}), dict[str, str]()
    for place, signed in records:
        try:
            old, new = _read(signed, known)
        except HeadRefused:
            continue  # whoever writes to the database can write such an event, and it says nothing
        kid = new.thumbprint()
        if old in after or kid in after or kid == old or place >= ended.get(old, NEVER):
            continue
        known[kid], after[old], ended[old] = new, kid, place + 1
    return Succession(keys=known, ends=ended, after=after)


def sign_replacement(new: PublicKey, *, at: datetime, issuer: str, key: PrivateKey) -> str:
    """The old key's word for the new one."""
    header = {"typ": TYPE, "kid": key.public.thumbprint()}
    return sign_compact(header, {"iss": issuer, "iat": int(at.timestamp()), "key": new.to_jwk()}, key)


def replacement_of(event: Mapping[str, Any]) -> str | None:
    """The record of a replaced key that the event carries, signed by whomever."""
    return record_in(event, EventKind.SEAL_KEY_REPLACED)


def is_replacement(signed: str) -> bool:
    """Whether the text has the form of a record of a replaced key; who signed it is to be seen."""
    try:
        return len(signed) <= LONGEST and parse_compact(signed).header.get("typ") == TYPE
    except JoseError:
        return False


def is_signed(signed: str, keys: Keys) -> bool:
    """Whether one of these keys has signed the record."""
    try:
        _read(signed, keys)
    except HeadRefused:
        return False
    return True


def _read(signed: str, keys: Keys) -> tuple[str, PublicKey]:
    kid, claims = signed_claims(signed, keys, TYPE, "record of a replaced key")
    try:
        new = PublicKey.from_jwk(claims["key"])
    except (JoseError, KeyError, TypeError, AttributeError):
        raise HeadRefused("is no record of a replaced key") from None
    return kid, new
