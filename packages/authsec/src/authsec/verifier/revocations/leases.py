"""Leases on the feed, one for each verifier; and the request headers that name the verifiers' APIs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

MOST_AUDIENCES: Final = 16  # the most audiences that the authority reads from one request
LONGEST_AUDIENCE: Final = 255  # characters; no API identifier at the authority is longer


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """The requirements of one verifier for the revocations of tokens for the API `audience`.

    A feed older than `oldest` seconds is stale for this verifier. With a stale feed, the verifier accepts no
    token. If `asks` is set, it introspects each token instead.
    """

    audience: str
    oldest: float = math.inf
    asks: bool = False


class Lease:
    """One verifier's lease on the feed.

    A lease ends when it is garbage-collected, so only the verifier may refer to it. The follower stops after the last
    lease. `credential` is the credential by which the authority identifies the API, or None.
    """

    __slots__ = ("__weakref__", "credential", "terms")

    def __init__(self, terms: LeaseTerms, credential: str | None) -> None:
        self.terms = terms
        self.credential = credential


class Leases:
    """All leases, by object id. Any thread may acquire or release a lease.

    Each step is a single dict operation, so no lock is needed. A fork therefore leaves no lock to reset.
    """

    def __init__(self) -> None:
        self._held: WeakValueDictionary[int, Lease] = WeakValueDictionary()

    def acquire(self, terms: LeaseTerms, credential: str | None) -> Lease:
        """Return a new lease. It ends when it is released or garbage-collected."""
        lease = Lease(terms, credential)
        self._held[id(lease)] = lease
        return lease

    def release(self, lease: Lease) -> None:
        """End the lease."""
        self._held.pop(id(lease), None)

    def __bool__(self) -> bool:
        return len(self._held) > 0

    def terms(self) -> set[LeaseTerms]:
        """Return the terms of all leases. The result does not keep the leases alive."""
        return {lease.terms for lease in self._there()}

    def headers(self) -> Mapping[str, str]:
        """Return the headers for each request to the feed.

        The headers name the APIs that follow the feed. So administrators see the impact before a revocation. If the
        leases have several credentials, only one is sent, because a request can carry only one.
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
