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
    """What one verifier needs of the feed: revocations of tokens for the API `audience`.

    A feed older than `oldest` seconds is stale for this verifier. Then it accepts no token, or if it `asks`, none
    without introspection.
    """

    audience: str
    oldest: float = math.inf
    asks: bool = False


class Lease:
    """One verifier's need of the feed. The follower ends with the last lease, so nothing else refers to it.

    `credential` is that of the API, or None; it tells the authority which API follows.
    """

    __slots__ = ("__weakref__", "credential", "terms")

    def __init__(self, terms: LeaseTerms, credential: str | None) -> None:
        self.terms = terms
        self.credential = credential


class Leases:
    """All leases. Acquired and released from any thread, by their ids.

    No lock is needed, since each step is one of a dict: so there is nothing to mend after a fork either.
    """

    def __init__(self) -> None:
        self._held: WeakValueDictionary[int, Lease] = WeakValueDictionary()

    def acquire(self, terms: LeaseTerms, credential: str | None) -> Lease:
        """A new lease, until it is released or garbage-collected."""
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
        """The headers of each request for the feed: for which APIs, so that people see the impact before they revoke.

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
