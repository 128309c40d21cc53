"""What a cluster answered a moment ago: not asked again for so long, and by one at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
MAX_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Kept(Generic[V]):
    value: V
    until: float


class LookedUp(Generic[K, V]):
    """Answers by what was asked for; the oldest in use makes room. Safe for any number of threads.

    An answer counts for `seconds` from when it was asked for, by the monotonic clock; with 0 each caller asks for
    itself. A no is never kept, nor a failure: whoever comes next asks anew. Those who come while one is asking wait for
    what it hears.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float], *, at_most: int = MAX_KEPT) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._at_most = at_most
        self._kept: OrderedDict[K, _Kept[V]] = OrderedDict()
        self._flights: dict[K, Future[V | None]] = {}
        self._lock = Lock()

    def get(self, key: K, ask: Callable[[], V | None]) -> V | None:
        """The answer to `key`, by `ask` where none is kept; None is a no. Raises what `ask` raises."""
        if not self._seconds:
            return ask()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and self._monotonic() < kept.until:
                self._kept.move_to_end(key)
                return kept.value
            flight = self._flights.get(key)
            mine = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        if mine:
            self._fly(key, flight, ask)
        return flight.result()

    def _fly(self, key: K, flight: Future[V | None], ask: Callable[[], V | None]) -> None:
        """Whatever becomes of it, those who wait hear it and the next one may ask."""
        until = self._monotonic() + self._seconds  # from now: it may be old by the time that it arrives
        try:
            value = ask()
        except BaseException as error:  # noqa: BLE001 - whatever it is, everybody who waits gets it
            self._land(key, None)
            flight.set_exception(error)
        else:
            self._land(key, None if value is None else _Kept(value, until))
            flight.set_result(value)

    def _land(self, key: K, kept: _Kept[V] | None) -> None:
        with self._lock:
            del self._flights[key]
            self._kept.pop(key, None)
            if kept is not None:
                self._kept[key] = kept
                if len(self._kept) > self._at_most:
                    self._kept.popitem(last=False)
