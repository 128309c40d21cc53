"""The feed as the workers of a host have it: from the authority for one of them, from the file for the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from authsec.clock import Clock
from authsec.errors import KeysUnavailable
from authsec.verifier.revocations.entries import BatchRefused
from authsec.verifier.revocations.network import POLL_PAUSE, Network
from authsec.verifier.revocations.run import Run
from authsec.verifier.revocations.workers.election import Election
from authsec.verifier.revocations.workers.place import Place, Unusable
from authsec.verifier.revocations.workers.reading import Reading
from authsec.verifier.revocations.workers.recording import Displaced, Recording

_log = logging.getLogger("authsec.verifier")

LOOK_PAUSE: Final = 0.1  # seconds between two looks at the file
SHORTEST_PATIENCE: Final = 7.0  # seconds without news after which the authority is asked; it speaks every five
SPREAD: Final = 2.0  # by which the patience of workers differs, so that not all of them ask at once


class Workers:
    """A `Source`. Whoever holds the lock follows the authority and records; the others read, and ask where they must.

    They must at the beginning, where a batch does not follow what they know, and where the file is silent for too
    long: its writer may hang, or somebody may hold it back.
    """

    def __init__(self, place: Place, network: Network, *, clock: Clock, jitter: Callable[[], float]) -> None:
        self._place = place
        self._network = network
        self._clock = clock
        self._jitter = jitter
        self._election = Election(place)
        self._recording = Recording(place)
        self._reading = Reading(place)
        self._trouble: str | None = None
        self._begin_anew()
        network.heard = self._record

    def follow(self, run: Run) -> float:
        try:
            if not self._election.won():
                return self._read(run)
        except (OSError, Unusable) as error:
            self._warn(error)
            run.role = f"follows by itself: {self._trouble}"
            return self._network.follow(run)
        self._reading.end()
        run.role = "follows"
        try:
            return self._network.follow(run)
        except Displaced:
            _log.warning("another worker records in %s: this one lets it follow", self._place.path)
            self._election.resign()
            return LOOK_PAUSE

    def stop(self) -> None:
        self._network.stop()

    def rest(self) -> None:
        self._network.rest()
        self._recording.end()
        self._reading.end()
        self._election.resign()

    def forget(self) -> None:
        self._network.forget()
        self._recording.forget()
        self._reading.forget()
        self._election.forget()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._patience = SHORTEST_PATIENCE + SPREAD * self._jitter()
        self._lacking = False
        self._asked = self._heard = 0.0

    def _read(self, run: Run) -> float:
        if not run.settled:
            self._heard = self._clock.monotonic()
            self._reading.begin()  # first, so that nothing is missed between the page and what is recorded then
            self._network.catch_up(run)
        self._overhear(run)
        now = self._clock.monotonic()
        silent = max(now - self._heard, run.feed.age()) > self._patience  # also where all it says comes late
        run.role = f"asks the authority: {self._place.path} is silent" if silent else f"reads {self._place.path}"
        if (silent or self._lacking) and now - self._asked >= POLL_PAUSE:
            self._asked = now
            self._network.catch_up(run)
            self._lacking = False
        self._trouble = None
        return LOOK_PAUSE

    def _overhear(self, run: Run) -> None:
        for line in self._reading.lines():
            if run.over:
                return
            try:
                whole = run.overhear(line)
            except (BatchRefused, KeysUnavailable) as error:
                if not self._lacking:
                    _log.info("a batch of %s does not count: %s", self._place.path, error)
                self._lacking = True
                continue
            if whole:
                self._lacking, self._heard = False, self._clock.monotonic()

    def _record(self, run: Run, octets: bytes) -> None:
        if not self._election.held:
            return
        try:
            self._recording.add(octets)
        except (OSError, Unusable) as error:
            self._warn(error)
            run.role = f"follows, but cannot record: {self._trouble}"
        else:
            self._trouble = None
            run.role = f"follows, and records in {self._place.path}"

    def _warn(self, error: OSError | Unusable) -> None:
        why = f"{self._place.path}: {error.strerror}" if isinstance(error, OSError) else str(error)
        if why != self._trouble:  # once, however often it is tried again
            _log.warning("what is revoked cannot be shared between the workers of this host: %s", why)
        self._trouble = why
