"""An entry of the feed, and what of a token it can be about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeGuard

KINDS: Final = frozenset({"client", "delegation", "role", "proof", "source", "key", "token"})

Subject = tuple[str, str]  # its kind and its id; of a role the hash of its name


class BatchRefused(Exception):
    """A batch of the feed cannot be believed, so nothing of it counts. The text is safe to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Ends every token of `subject` whose `authority_version` is below `version`. `at` is in seconds of the epoch."""

    sequence: int
    subject: Subject
    version: int
    at: float


def entry_of(value: object) -> Entry:
    """Read one entry, or raise `BatchRefused`. Members that are not known here say nothing that is."""
    if not isinstance(value, dict):
        raise BatchRefused("an entry is not an object")
    kind, subject, at = value.get("kind"), value.get("subject"), value.get("at")
    sequence, version = value.get("sequence"), value.get("version")
    if not isinstance(kind, str) or kind not in KINDS:  # what it ends we could not tell, and would go on accepting
        raise BatchRefused("an entry is of a kind that this version of authsec does not know")
    if not isinstance(subject, str) or not subject or not is_count(sequence) or not is_count(version):
        raise BatchRefused("an entry lacks its subject, sequence or version")
    return Entry(sequence=sequence, subject=(kind, subject), version=version, at=_seconds(at))


def subjects_of(claims: Mapping[str, Any], kid: str) -> tuple[Subject, ...]:
    """All that an entry could name of a token with these (checked) claims, signed by this key."""
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
    """A whole number that is not negative. A bool is an int, and none."""
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
        raise BatchRefused("an entry does not say when it was made")
    return moment.timestamp()
