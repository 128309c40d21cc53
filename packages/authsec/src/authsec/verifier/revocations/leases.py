"""Who wants a feed followed, and what the requests for it say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from weakref import WeakValueDictionary

MOST_AUDIENCES: Final = 16  # that the authority reads
LONGEST_AUDIENCE: Final = 255  # characters; it knows no longer one


class Lease:
    """Somebody who wants the feed followed. Following ends when none is left, so it is not held anywhere else.

    `audience` is for which API, `credential` that API's own, or None: both are for the authority to know who follows.
    """

    __slots__ = ("__weakref__", "audience", "credential")

    def __init__(self, audience: str, credential: str | None) -> None:
        self.audience = audience
        self.credential = credential


class Leases:
    """All that are held. Taken and given back from any thread, by their ids.

    No lock is needed, since each step is one of a dict: so there is nothing to mend after a fork either.
    """

    def __init__(self) -> None:
        self._held: WeakValueDictionary[int, Lease] = WeakValueDictionary()

    def take(self, audience: str, credential: str | None) -> Lease:
        """One more, for as long as it lives, or until it is given back."""
        lease = Lease(audience, credential)
        self._held[id(lease)] = lease
        return lease

    def give_back(self, lease: Lease) -> None:
        """It counts no more."""
        self._held.pop(id(lease), None)

    def __bool__(self) -> bool:
        return len(self._held) > 0

    def headers(self) -> Mapping[str, str]:
        """What each request for the feed says of those who hold one, so that people are told before they revoke.

        Of several credentials one is sent: a request has room for one.
        """
        held = [lease for each in self._held.valuerefs() if (lease := each()) is not None]
        audiences = sorted({lease.audience for lease in held if _is_sendable(lease.audience)})[:MOST_AUDIENCES]
        credentials = sorted({lease.credential for lease in held if lease.credential is not None})
        said = {"AuthSec-Audience": " ".join(audiences)} if audiences else {}
        return said | ({"Authorization": f"Bearer {credentials[0]}"} if credentials else {})


def _is_sendable(audience: str) -> bool:
    return (
        0 < len(audience) <= LONGEST_AUDIENCE and audience.isascii() and audience.isprintable() and " " not in audience
    )
