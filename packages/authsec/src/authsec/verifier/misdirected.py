"""Tokens for another API arrive. Its callers are told; who runs this one would hear nothing of it otherwise."""

from __future__ import annotations

import logging
import threading
from typing import Final

from authsec.clock import Clock
from authsec.verifier.moments import Moment, moment, since
from authsec.wording import plain

_log = logging.getLogger("authsec.verifier")

PAUSE: Final = 60.0  # seconds from one line to the next, however many arrive
_LONGEST: Final = 300  # characters of a name in the log; what looks like a token is not in it at all


class Misdirected:
    """Logs, not for each token, which API they are for and which this one is. Used from any thread."""

    def __init__(self, audience: str, clock: Clock) -> None:
        self._audience = plain(audience, _LONGEST)
        self._clock = clock
        self._said: Moment | None = None
        self._lock = threading.Lock()

    def note(self, named: str) -> None:
        """One has arrived, good but for the APIs that it names, in one plain line."""
        with self._lock:
            if self._said is not None and since(self._said, self._clock) < PAUSE:
                return
            self._said = moment(self._clock)
        _log.warning(
            "tokens for another API arrive here and are refused: this one is %s, the last token was for %s. "
            "The agent asks for the wrong one (resource=) or the verifier's audience is not this API's identifier",
            self._audience,
            named,
        )
