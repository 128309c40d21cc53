"""Single flight: one request in its own thread, for any number of waiting threads and event loops.

Because the request has its own thread, a caller's wait has a limit, even if the network does not answer. No
caller depends on the event loop of another caller. The thread returns errors as values. An exception that is
raised in several threads would collect their stack frames, with all secrets in these frames.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable
from copy import copy

from authsec.errors import AuthSecError, TransportError
from authsec.tokens import DelegationToken

_log = logging.getLogger("authsec")

Outcome = DelegationToken | AuthSecError


class SingleFlight:
    """Runs the function `work` once, in a thread. `on_done` receives the outcome before any waiting caller.

    Each caller waits for at most `patience` seconds, counted from the start of its own wait.
    """

    def __init__(
        self, work: Callable[[], DelegationToken], *, on_done: Callable[[Outcome], None], patience: float
    ) -> None:
        self.joined = False  # whether a caller waits for the result; guarded by the cache's lock
        self._work = work
        self._on_done = on_done
        self._patience = patience
        self._started = threading.Lock()
        self._future: concurrent.futures.Future[Outcome] = concurrent.futures.Future()
        # A running future cannot be cancelled. So a caller that stops waiting does not affect the others.
        self._future.set_running_or_notify_cancel()

    def start(self) -> None:
        """Start the thread. A second call does nothing."""
        if not self._started.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._run, name="authsec-token", daemon=True).start()
        except RuntimeError:  # No thread can start: the interpreter is ending, or a limit is reached.
            self._run()

    def _run(self) -> None:
        outcome = _outcome(self._work)
        self._on_done(outcome)
        self._future.set_result(outcome)

    def wait(self) -> DelegationToken:
        """Wait for the outcome, at most `patience` seconds.

        Raises the request's error, or `TransportError` on timeout.
        """
        try:
            return _token_or_raise(self._future.result(self._patience))
        except TimeoutError:
            raise _too_slow() from None

    async def wait_async(self) -> DelegationToken:
        """Wait for the outcome as `wait` does, for a coroutine on any event loop."""
        try:
            return _token_or_raise(await asyncio.wait_for(asyncio.wrap_future(self._future), self._patience))
        except TimeoutError:
            raise _too_slow() from None


def _outcome(work: Callable[[], DelegationToken]) -> Outcome:
    try:
        return work()
    except AuthSecError as error:
        return copy(error)  # A copy has no traceback.
    except Exception as error:  # noqa: BLE001 - an error of a foreign credential source; its text may contain secrets
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where is not None else "unknown place"
        _log.error("requesting a token failed with %s at %s", type(error).__name__, place)
        return AuthSecError(
            f"Requesting a token failed inside the program ({type(error).__name__}).", reason="internal_error"
        )


def _token_or_raise(outcome: Outcome) -> DelegationToken:
    if isinstance(outcome, AuthSecError):
        raise copy(outcome) from None
    return outcome


def _too_slow() -> TransportError:
    return TransportError("The authority did not answer in time.", reason="timeout", retryable=True)
