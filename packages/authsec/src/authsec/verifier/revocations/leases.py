"""Leases on the feed: for which APIs it is followed, and the headers that tell the authority so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

MOST_AUDIENCES: Final = 16  # that the authority reads
LONGEST_AUDIENCE: Final = 255  # characters; it knows no longer one


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """What somebody wants of the feed: to know of tokens for the API `audience`.

    What is known does not count for it once it is older than `oldest` seconds. Then no token is accepted, or if it
    `asks`, none without asking about it.
    """

    audience: str
    oldest: float = math.inf
    asks: bool = False


class Lease:
    """Somebody who wants the feed followed. Following ends when none is left, so it is not held anywhere else.

    `credential` is that of the API, or None: the authority is told who follows.
    """

    __slots__ = ("__weakref__", "credential", "terms")

    def __init__(self, terms: LeaseTerms, credential: str | None) -> None:
        self.terms = terms
        self.credential = credential


class Leases:
    """All that are held. Taken and given back from any thread, by their ids.

    No lock is needed, since each step is one of a dict: so there is nothing to mend after a fork either.
    """

    def __init__(self) -> None:
        self._held: WeakValueDictionary[int, Lease] = WeakValueDictionary()

    def acquire(self, terms: LeaseTerms, credential: str | None) -> Lease:
        """One more, for as long as it lives, or until it is given back."""
        lease = Lease(terms, credential)
        self._held[id(lease)] = lease
        return lease

    def release(self, lease: Lease) -> None:
        """It counts no more."""
        self._held.pop(id(lease), None)

    def __bool__(self) -> bool:
        return len(self._held) > 0

    def terms(self) -> set[LeaseTerms]:
        """What all who hold one want; the leases themselves are not kept alive by it."""
        return {lease.terms for lease in self._there()}

    def headers(self) -> Mapping[str, str]:
        """What each request for the feed says of those who hold one, so that people are told before they revoke.

        Of several credentials one is sent: a request has room for one.
        """
        audiences = sorted({terms.audience for terms in self.terms() if _is_sendable(terms.audience)})[:MOST_AUDIENCES]
        credentials = sorted({lease.credential for lease in self._there() if lease.credential is not None})
        said = {"AuthSec-Audience": " ".join(audiences)} if audiences else {}
        return said | ({"Authorization": f"Bearer {credentials[0]}"} if credentials else {})

    def _there(self) -> list[Lease]:
        return [lease for each in self._held.valuerefs() if (lease := each()) is not None]


def _is_sendable(audience: str) -> bool:
    return (
        0 < len(audience) <= LONGEST_AUDIENCE and audience.isascii() and audience.isprintable() and " " not in audience
    )
