"""The order of the sealing keys. Each key signs its successor, in an event that the old key also seals.

The old key may sign one last checkpoint: the one that covers this event.
The attack: a person who finds an old key extends the log, names another successor, or signs a drop record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from authsec.jose import JoseError, PrivateKey, PublicKey, parse_compact, sign_compact

from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.checkpoints import CheckpointRefused, Keys, record_in, signed_claims
from authsec_server.db.served import proved

TYPE: Final = "authsec-audit-key+jwt"
LONGEST: Final = 4096  # characters of a record; a genuine record has about 500
NEVER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """All trusted sealing `keys` by `kid`, with the order in which they replaced each other.

    `ends` has for each replaced key the highest number of leaves that its checkpoints may cover.
    `after` maps each replaced key to its successor.
    Only the check of all events shows whether the events with these replacements match their seals.
    """

    keys: Keys
    ends: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)

    def end(self, kid: str) -> int:
        """Return the highest number of leaves that a checkpoint of this key may cover."""
        return self.ends.get(kid, NEVER)

    def present(self, kid: str) -> str:
        """Return the `kid` of the current key: follow the successors of this key to the last one."""
        while kid in self.after:
            kid = self.after[kid]
        return kid


def succession(
    records: Iterable[tuple[int, str]],
    keys: Keys,
    ends: Mapping[str, int] | None = None,
    after: Mapping[str, str] | None = None,
) -> Succession:
    """Return the keys and their order after these replacement records.

    `records` contains the place and the signed text of each record, in the order of the places.
    `ends` has the highest numbers of leaves that are already known for replaced keys.
    `after` has the successors that earlier records name.
    A record is valid only if its key was not replaced before. The first valid record of a key is used.
    """
    known, ended, after = dict(keys), dict(ends or {}), dict(after or {})
    for place, signed in records:
        try:
            old, new = _read(signed, known)
        except CheckpointRefused:
            continue  # the record has no valid signature, so raw SQL inserted the event
        kid = new.thumbprint()
        if old in after or kid in after or kid == old or place >= ended.get(old, NEVER):
            continue
        known[kid], after[old], ended[old] = new, kid, place + 1
    return Succession(keys=known, ends=ended, after=after)


def streamed_succession(
    read: Callable[[], Iterable[tuple[int, str]]],
    keys: Keys,
    ends: Mapping[str, int] | None = None,
    after: Mapping[str, str] | None = None,
) -> Succession:
    """Return the result of `succession` for records in any order. Hold one record at a time in memory.

    Each call of `read` yields all records from the beginning. Records in the order of their places are read once, other
    records once more for each valid record.
    The attack: raw SQL inserts very many events with records that no key has signed.
    """
    ordered = True

    def watched() -> Iterator[tuple[int, str]]:
        nonlocal ordered
        last = -1
        for place, signed in read():
            ordered = ordered and place >= last
            last = place
            yield place, signed

    order = succession(watched(), keys, ends, after)
    if ordered:
        return order
    order, last = Succession(keys=dict(keys), ends=dict(ends or {}), after=dict(after or {})), (-1, "")
    while next_one := min((each for each in read() if each > last and _is_valid(each, order)), default=None):
        order, last = succession([next_one], order.keys, order.ends, order.after), next_one
    return order


def is_next(signed: str, order: Succession) -> bool:
    """Whether the record names a successor for a key without one. Raw SQL can copy the record of another key."""
    return succession([(0, signed)], order.keys, after=order.after).after != order.after


def sign_replacement(new: PublicKey, *, at: datetime, issuer: str, key: PrivateKey) -> str:
    """Sign the record by which the old key names the new key as its successor. Return the signed text."""
    header = {"typ": TYPE, "kid": key.public.thumbprint()}
    return sign_compact(header, {"iss": proved(issuer), "iat": int(at.timestamp()), "key": new.to_jwk()}, key)


def replacement_of(event: Mapping[str, Any]) -> str | None:
    """Return the signed replacement record in the event's detail; None without one. The signature is not verified."""
    return record_in(event, EventKind.SEAL_KEY_REPLACED)


def is_replacement(signed: str) -> bool:
    """Whether the text has the form of a replacement record. The signature is not verified."""
    try:
        return len(signed) <= LONGEST and parse_compact(signed).header.get("typ") == TYPE
    except JoseError:
        return False


def _is_valid(record: tuple[int, str], order: Succession) -> bool:
    return succession([record], order.keys, order.ends, order.after).after != order.after


def _read(signed: str, keys: Keys) -> tuple[str, PublicKey]:
    kid, claims = signed_claims(signed, keys, TYPE, "record of a replaced key")
    try:
        new = PublicKey.from_jwk(claims["key"])
    except (JoseError, KeyError, TypeError, AttributeError):
        raise CheckpointRefused("is not a record of a replaced key") from None
    return kid, new
