"""One batch of the feed: check its signature, completeness, age and order, and read its entries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeGuard

from authsec import strict_json
from authsec.jose import JoseError, parse_compact
from authsec.verifier.key_set import KeySource

MOST_BYTES: Final = 4 * 1024 * 1024  # about 25,000 entries
OLDEST_HEAD: Final = 60  # seconds
LEEWAY: Final = 30  # seconds by which the clocks of authority and API may differ
_TYPE: Final = "authsec-revocations+jwt"  # the `typ` of a head; no token has this `typ`
_ALGORITHMS: Final = frozenset({"EdDSA"})

KINDS: Final = frozenset({"client", "delegation", "role", "proof", "source", "key", "token"})
Subject = tuple[str, str]  # the kind and the id; for a role, the hash of its name


class BatchRefused(Exception):
    """A batch of the feed is not valid, so none of its entries is applied. The error text is safe to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One revocation: it revokes every token of `subject` whose `authority_version` is below `version`.

    `at` is the time of the revocation, in seconds since the epoch.
    """

    sequence: int
    subject: Subject
    version: int
    at: float


class Position(NamedTuple):
    """A position in the feed: the number of an entry, and the entry's digest.

    Two entries can have the same number if an authority's database was restored from a backup. The authority then
    assigns the numbers again. The digest distinguishes such entries.
    """

    sequence: int
    digest: str


BEGINNING: Final = Position(0, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The revocations after entry number `since`, up to number `through`.

    - `last` is the number of the feed's last entry. If `through` is smaller, more batches follow.
    - A `snapshot` contains every revocation up to `through` that can still affect a token.
    - `signed_at` is the time of the signature on the authority's clock, in seconds.
    - `follows` is the digest of the last entry that the reader already has. It is None for a snapshot, and if the
      batch does not contain or follow this entry.
    - `reaches` is the reader's position after this batch.
    """

    since: int
    follows: str | None
    reaches: Position
    through: int
    last: int
    snapshot: bool
    signed_at: int
    entries: tuple[Entry, ...]

    @property
    def complete(self) -> bool:
        """Whether the batch reaches the end of the feed."""
        return self.through == self.last


def read_batch(
    octets: bytes, *, issuer: str, asked: int, keys: KeySource, now: float, overlapping: bool = False
) -> Batch:
    """Read the batch that follows entry number `asked`. Raises `BatchRefused` or `KeysUnavailable`.

    With `overlapping`, the batch may begin before `asked`, because another worker requested it. The caller must
    check that `follows` matches its own position.
    """
    try:
        document = strict_json.loads(octets, max_bytes=MOST_BYTES)
    except strict_json.StrictJsonError as error:
        raise BatchRefused(f"a batch is not strict JSON: {error}") from None
    entries = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BatchRefused("a batch has no list of entries")
    head = _signed(document.get("head"), keys)
    _check_head(head, issuer, now)
    if head.get("entries_sha256") != digest_of(entries):
        raise BatchRefused("the entries of a batch do not match its signed head")
    batch = Batch(
        since=head["since"],
        follows=_followed(head, entries, asked),
        reaches=Position(head["through"], digest_of(entries[-1]) if entries else head["follows"]),
        through=head["through"],
        last=head["last"],
        snapshot=head["snapshot"],
        signed_at=head["iat"],
        entries=tuple(map(entry_of, entries)),
    )
    _check_order(batch, min(asked, batch.since) if overlapping else asked)
    return batch


def digest_of(published: object) -> str:
    """Return the SHA-256 (hex) of one entry or of a list of entries.

    The hashed text is JSON with sorted names and without spaces.
    """
    return hashlib.sha256(strict_json.dumps(published)).hexdigest()


def _followed(head: Mapping[str, Any], entries: list[Any], asked: int) -> str | None:
    """Return the digest of entry number `asked`, or None if the batch does not contain this digest.

    If the batch starts right after this entry, the digest is in the batch's head. If the batch starts earlier,
    the digest is computed from the entry.
    """
    before = asked - head["since"]
    if head["snapshot"] or not 0 <= before <= len(entries):
        return None
    return digest_of(entries[before - 1]) if before else head["follows"]


def _signed(head: object, keys: KeySource) -> Mapping[str, Any]:
    """Verify the type and the signature of the batch's head, and return its claims.

    The head is a JWT, signed with one of the feed's keys. Raises `BatchRefused` or `KeysUnavailable`.
    """
    if not isinstance(head, str):
        raise BatchRefused("a batch has no head")
    try:
        jws = parse_compact(head)
        kid = jws.header.get("kid", "")
        if jws.header.get("typ", "").lower() != _TYPE:
            raise BatchRefused("the head of a batch is a JWT of another type")
        key = keys.find_cached(kid) or keys.find(kid)
        if key is None:
            raise BatchRefused("the head of a batch is signed with a key that the feed does not publish")
        return jws.verified_by(key, algorithms=_ALGORITHMS).claims
    except JoseError as error:
        raise BatchRefused(f"the head of a batch is refused: {error}") from None


def _check_head(head: Mapping[str, Any], issuer: str, now: float) -> None:
    if head.get("iss") != issuer:
        raise BatchRefused("the head of a batch is from another authority")
    counts = ("iat", "since", "through", "last")
    if not all(is_count(head.get(name)) for name in counts) or type(head.get("snapshot")) is not bool:
        raise BatchRefused(f"the head of a batch lacks one of {', '.join(counts)} and snapshot")
    if not isinstance(head.get("follows"), str):
        raise BatchRefused("the head of a batch does not say which entry it follows")
    if head["iat"] < now - OLDEST_HEAD - LEEWAY:
        # The attack: somebody sends an old batch again to hide newer revocations.
        raise BatchRefused(
            "the head of a batch is too old: if the authority runs, synchronise the clocks of the authority and the API"
        )
    if head["iat"] > now + LEEWAY:
        raise BatchRefused(
            "the head of a batch has a time in the future: synchronise the clocks of the authority and the API"
        )


def _check_order(batch: Batch, asked: int) -> None:
    numbers = [entry.sequence for entry in batch.entries]
    if batch.through > batch.last:
        raise BatchRefused("a batch goes beyond the end of the feed")
    if batch.snapshot:
        if numbers != sorted(set(numbers)) or (numbers and numbers[-1] > batch.through):
            raise BatchRefused("the entries of a snapshot are not in order")
        if batch.through != (numbers[-1] if numbers else 0):  # The next batch is checked against this entry.
            raise BatchRefused("a snapshot lacks its last entry")
    elif batch.since != asked:
        raise BatchRefused("a batch does not start at the end of the previous one")
    elif numbers != list(range(batch.since + 1, batch.since + 1 + len(numbers))) or (
        batch.through != batch.since + len(numbers)
    ):
        raise BatchRefused("a batch skips entries")


def entry_of(value: object) -> Entry:
    """Read one entry, and ignore its unknown members. Raises `BatchRefused`."""
    if not isinstance(value, dict):
        raise BatchRefused("an entry is not an object")
    kind, subject, at = value.get("kind"), value.get("subject"), value.get("at")
    sequence, version = value.get("sequence"), value.get("version")
    if not isinstance(kind, str) or kind not in KINDS:
        # With an unknown kind, this API would still accept the revoked tokens.
        raise BatchRefused("an entry is of a kind that this version of authsec does not know")
    if not isinstance(subject, str) or not subject or not is_count(sequence) or not is_count(version):
        raise BatchRefused("an entry lacks its subject, sequence or version")
    return Entry(sequence=sequence, subject=(kind, subject), version=version, at=_seconds(at))


def subjects_of(claims: Mapping[str, Any], kid: str) -> tuple[Subject, ...]:
    """Return the subjects of a token with these verified claims, signed with the key `kid`.

    If one of these subjects is revoked, the token is revoked.
    """
    attestation = claims["attestation"]
    return (
        ("client", claims["client_id"]),
        ("token", claims["jti"]),
        ("key", kid),
        *[("delegation", delegation) for delegation in claims["delegation_ids"]],
        *[("role", _hashed(role)) for role in claims["roles"]],
        *[(kind, attestation[kind]) for kind in ("proof", "source") if kind in attestation],
    )


def is_count(value: object) -> TypeGuard[int]:
    """Whether `value` is an integer of at least 0. In Python a bool is an int too, but this function refuses it."""
    return type(value) is int and value >= 0


@lru_cache(maxsize=1024)
def _hashed(role: str) -> str:
    return hashlib.sha256(role.encode("utf-8")).hexdigest()


def _seconds(at: object) -> float:
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BatchRefused("an entry has no time")
    return moment.timestamp()
