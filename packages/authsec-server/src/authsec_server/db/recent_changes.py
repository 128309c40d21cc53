"""The clients that each recent change of this process concerned. The cached facts of other clients stay valid."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Set
from typing import Final, NamedTuple

MOST: Final = 1_000  # changes that are remembered
MOST_CLIENTS: Final = 1_000  # a change of more clients counts as a change of all


class AuthorityState(NamedTuple):
    """An authority version, and the random id of the change that made it."""

    version: int
    change_id: str


class RecentChanges:
    """The recent changes that this process has committed, in the order of `add`.

    If another process, raw SQL or a failed commit made a change in between, that change may have concerned any client.
    The next change that is added shows it, because its earlier state is not the last one here.
    """

    def __init__(self) -> None:
        self._places: OrderedDict[AuthorityState, int] = OrderedDict()  # of each state, in the order of `add`
        self._of_clients: OrderedDict[str, int] = OrderedDict()  # the last place that concerned each client
        self._of_all = 0  # the last place that may have concerned every client
        self._last: AuthorityState | None = None
        self._place = 0
        self._using = threading.Lock()

    def add(self, earlier: AuthorityState, later: AuthorityState, clients: Set[str] | None) -> None:
        """Remember a committed change: the states before and after it, and the ids of the clients that it concerned.

        None stands for every client.
        """
        with self._using:
            if earlier != self._last:
                self._of_all = self._add(earlier)
            self._add(later)
            if clients is None or len(clients) > MOST_CLIENTS:
                self._of_all = self._place
            else:
                for client in clients:
                    self._of_clients[client] = self._place
                    self._of_clients.move_to_end(client)
            self._last = later
            self._forget()

    def spared(self, client: str, since: AuthorityState, until: AuthorityState) -> bool:
        """Whether every change between these states is known and concerned other clients than this one."""
        with self._using:
            first, last = self._places.get(since), self._places.get(until)
            if first is None or last is None:
                return False
            return max(self._of_all, self._of_clients.get(client, 0)) <= first < last

    def _add(self, state: AuthorityState) -> int:
        self._place += 1
        self._places[state] = self._place
        self._places.move_to_end(state)
        return self._place

    def _forget(self) -> None:
        while len(self._places) > MOST:
            self._places.popitem(last=False)
        oldest = next(iter(self._places.values()))
        while self._of_clients and next(iter(self._of_clients.values())) < oldest:
            self._of_clients.popitem(last=False)
