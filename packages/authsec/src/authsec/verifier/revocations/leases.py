"""Who wants a feed followed, and what the requests for it say of them."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakSet


class Lease:
    """Somebody who wants the feed followed. Following ends when none is left, so it is not held anywhere else."""

    __slots__ = ("__weakref__",)


class Leases:
    """All that are held. Taken and given back from any thread."""

    def __init__(self) -> None:
        self._held: WeakSet[Lease] = WeakSet()

    def take(self) -> Lease:
        """One more, for as long as it lives, or until it is given back."""
        lease = Lease()
        self._held.add(lease)
        return lease

    def give_back(self, lease: Lease) -> None:
        """It counts no more."""
        self._held.discard(lease)

    def __bool__(self) -> bool:
        return len(self._held) > 0

    def headers(self) -> Mapping[str, str]:
        """What each request for the feed says of those who hold one."""
        return {}
