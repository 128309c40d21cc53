"""Leases on the feed: the APIs that need it, and the headers that name these APIs to the authority."""

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
    """The requirements of one verifier: revocations of tokens for the API `audience`.

    A feed older than `oldest` seconds is stale for this verifier. The verifier then accepts no token; if it
    `asks`, it accepts tokens after introspection only.
    """

    audience: str
    oldest: float = math.inf
    asks: bool = False


class Lease:
    """One verifier's lease on the feed. The follower stops with the last lease, so only the verifier refers to it.

    `credential` is the API's credential, or None. The credential identifies the API to the authority.
    """

    __slots__ = ("__weakref__", "credential", "terms")

    def __init__(self, terms: LeaseTerms, credential: str | None) -> None:
        self.terms = terms
        self.credential = credential


class Leases:
    """All leases, by id. Any thread may acquire or release one.

    Each step is a single dict operation, so no lock is needed. A fork therefore leaves no lock to reset.
    """

    def __init__(self) -> None:
        self._held: WeakValueDictionary[int, Lease] = WeakValueDictionary()

    def acquire(self, terms: LeaseTerms, credential: str | None) -> Lease:
        """Make a lease that lasts until it is released or garbage-collected."""
        lease = Lease(terms, credential)
        self._held[id(lease)] = lease
        return lease

    def release(self, lease: Lease) -> None:
        """End the lease."""
        self._held.pop(id(lease), None)

    def __bool__(self) -> bool:
        return len(self._held) > 0

    def terms(self) -> set[LeaseTerms]:
        """The terms of all leases, without keeping the leases alive."""
        return {lease.terms for lease in self._there()}

    def headers(self) -> Mapping[str, str]:
        """Return the headers for each request for the feed.

        The headers name the APIs that follow the feed, so that administrators see the impact before a revocation. Of
        several credentials only one is sent, because a request has room for one.
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
