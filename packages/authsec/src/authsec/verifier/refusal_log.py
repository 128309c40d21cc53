"""The operator's log of refused tokens: those for another API or from another authority, and those bound to a key."""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable
from typing import Final

from authsec.clock import Clock, Moment, moment, since
from authsec.errors import InvalidProof, InvalidToken
from authsec.safe_text import plain

_log = logging.getLogger("authsec.verifier")

PAUSE: Final = 60.0  # the least seconds between two log lines
MOST_LINES: Final = 20
"""The most log lines of one `LineLimit` in `PAUSE` seconds."""
_LONGEST: Final = 300  # the most characters of a name in the log
_LONGEST_TEXT: Final = 600  # the most characters of a refusal in the log

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


class LineLimit:
    """Limits log lines: one line a minute for each key, and `MOST_LINES` for all keys. Callable from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began: Moment | None = None
        # The number of events after each line: in the current minute, and in the minute of the last line before.
        self._counts: dict[Hashable, int] = {}
        self._earlier: dict[Hashable, int] = {}

    def events_since_line(self, key: Hashable) -> int | None:
        """Count an event. Return the number of events since the key's last line; None if this event gets no line."""
        with self._lock:
            if self._began is None or since(self._began, self._clock) >= PAUSE:
                self._began = moment(self._clock)
                self._earlier, self._counts = self._counts, {}
            if key in self._counts:
                self._counts[key] += 1
                return None
            if len(self._counts) >= MOST_LINES:
                return None
            self._counts[key] = 0
            return self._earlier.pop(key, 0)


class BoundTokenLog:
    """Logs the refusals of tokens that are bound to a key: for each reason and client one line a minute.

    A proof with a wrong `htm`, `htu` or `iat` is a reason of its own: a wrong clock must not hide a wrong URL.

    Only a valid token leads to a line. A thief who repeats a request must not flood the log, and an agent with a wrong
    setting must not hide the thief of another agent's token. Callable from any thread.
    """

    def __init__(self, audience: str, clock: Clock) -> None:
        self._audience = audience
        self._limit = LineLimit(clock)

    def note(self, error: InvalidToken, client_id: str, jti: str) -> None:
        """Log the refusal of a token with a verified signature. The line has neither the token nor the proof."""
        claim = error.failed_claim if isinstance(error, InvalidProof) else ""
        more = self._limit.events_since_line((error.reason, claim, client_id))
        if more is None:
            return
        _log.warning(
            "refused a token (%s): API %s, client_id %s, jti %s%s. %s",
            error.reason,
            plain(self._audience, _LONGEST),
            plain(client_id, _LONGEST),
            plain(jti, _LONGEST),
            f", and {more} more since the last such line" if more else "",
            plain(f"{error} {error.operator_hint}", _LONGEST_TEXT),
        )
