"""The operator's log of refused tokens for another API or from another authority."""

from __future__ import annotations

import logging
import threading
from typing import Final

from authsec.clock import Clock, Moment, moment, since
from authsec.safe_text import plain

_log = logging.getLogger("authsec.verifier")

PAUSE: Final = 60.0  # the least seconds between two log lines
_LONGEST: Final = 300  # the most characters of a name in the log

FOR_ANOTHER_API: Final = (
    "tokens for another API are refused here: this API is %s, the last token was for %s. Either the agent "
    "requests the wrong API (resource=), or the verifier's audience is not this API's identifier"
)
OF_ANOTHER_AUTHORITY: Final = (
    "tokens of another authority are refused here: this API trusts %s, the last token has the issuer %s (not "
    "verified). Either the agent's AUTHSEC_BASE_URL or the verifier's issuer is wrong"
)


class MismatchLog:
    """Logs `line`, at most once a minute, with the expected name and the name in the refused token.

    The name is an audience or an issuer. Callable from any thread.
    """

    def __init__(self, line: str, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        self._said: Moment | None = None
        self._lock = threading.Lock()

    def note(self, ours: str, named: str) -> None:
        """Log a token whose audience or issuer (`named`) differs from the expected name (`ours`)."""
        with self._lock:
            if self._said is not None and since(self._said, self._clock) < PAUSE:
                return
            self._said = moment(self._clock)
        _log.warning(self._line, plain(ours, _LONGEST), plain(named, _LONGEST))
