"""Whether a token counts, by the authority's word: asked once for many requests, and not while nobody answers."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from authsec.clock import Clock, Moment, moment, since
from authsec.errors import RevocationsUnavailable
from authsec.verifier.documents import DocumentRefused

_log = logging.getLogger("authsec.verifier")

KEPT_FOR: Final = 5.0  # seconds that a good answer counts: so long a revoked token may be accepted yet
KEPT: Final = 1024  # good answers
REFUSED: Final = 4096  # tokens that were found dead
AT_ONCE: Final = 16  # questions under way
PATIENCE: Final = 6.0  # seconds that anybody waits; a question takes five at most
PAUSE: Final = 2.0  # seconds without a question, after one that was not answered
_LEEWAY: Final = 300  # seconds; by as much the clocks of authority and API may be set to differ

Ask = Callable[[str, Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionHealth:
    """`in_use`: tokens are asked about one by one at the moment. `failure`: why the last question was not answered."""

    in_use: bool
    failure: str | None


class Introspection:
    """Asks about tokens that have been verified otherwise. Used from any thread; it may wait.

    `mark` is what a token is known again by. What was found dead stays so for this process, whatever is answered later.
    Of these and of good answers so many are kept; nothing of a token is, but its mark and its `jti`.
    """

    def __init__(self, issuer: str, ask: Ask, *, mark: Callable[[str], bytes], clock: Clock) -> None:
        self.failure: str | None = None  # why the last question was not answered; None if it was
        self.ever_asked = False
        self._issuer = issuer
        self._ask = ask
        self._mark = mark
        self._clock = clock
        self._good: OrderedDict[bytes, Moment] = OrderedDict()
        self._dead: OrderedDict[str, float] = OrderedDict()  # jti, and when it expires anyway
        self._failed: Moment | None = None
        self._begin_anew()

    def is_dead(self, jti: str) -> bool:
        """Whether the authority has said of this token that it does not count. Never waits."""
        return jti in self._dead

    def check(self, token: str, claims: Mapping[str, Any]) -> None:
        """Find out whether the token counts: `is_dead` tells. Raises `RevocationsUnavailable` without an answer."""
        if self._process != os.getpid():  # a fork may have copied a question whose asker does not exist here
            self._begin_anew()
        mark = self._mark(token)
        with self._lock:
            answered = self._good.get(mark)
            if answered is not None and since(answered, self._clock) < KEPT_FOR:
                return
            question = self._under_way.get(mark)
            if question is None:
                mine: Future[bool] = Future()
                self._under_way[mark] = mine
        known = self._answer(token, mark, claims, mine) if question is None else _known_after(question)
        if not known:
            raise RevocationsUnavailable(
                f"The revocations of {self._issuer} are not known, and it cannot be asked about the token: "
                f"{self.failure or 'it takes too long'}.",
                retry_after=math.ceil(PAUSE),
            )

    def _answer(self, token: str, mark: bytes, claims: Mapping[str, Any], question: Future[bool]) -> bool:
        """Find it out, and tell all who wait for it whether it is known now."""
        known = False
        try:
            known = self._find_out(token, mark, claims)
        finally:
            with self._lock:
                self._under_way.pop(mark, None)
            question.set_result(known)
        return known

    def _find_out(self, token: str, mark: bytes, claims: Mapping[str, Any]) -> bool:
        if self._pausing() or not self._places.acquire(timeout=PATIENCE):
            return False
        try:
            if self._pausing():  # those before us have waited in vain
                return False
            self.ever_asked, asked = True, moment(self._clock)
            active = self._ask(token, claims)
        except DocumentRefused as error:
            self._fail(str(error))
            return False
        finally:
            self._places.release()
        if self.failure is not None:  # a warning, so that whoever was told of the trouble is told of its end
            _log.warning("%s answers about tokens again", self._issuer)
        self.failure = self._failed = None
        with self._lock:
            self._keep(mark, claims, asked if active else None)
        return True

    def _keep(self, mark: bytes, claims: Mapping[str, Any], good_at: Moment | None) -> None:
        if good_at is not None:
            self._good[mark] = good_at
            self._good.move_to_end(mark)
            if len(self._good) > KEPT:
                self._good.popitem(last=False)
            return
        self._good.pop(mark, None)
        self._dead[claims["jti"]] = claims["exp"]
        if len(self._dead) > REFUSED:
            now = self._clock.wall()
            over = [jti for jti, expires in self._dead.items() if expires + _LEEWAY < now]
            for jti in over or [next(iter(self._dead))]:
                del self._dead[jti]

    def _pausing(self) -> bool:
        failed = self._failed
        return failed is not None and since(failed, self._clock) < PAUSE

    def _fail(self, failure: str) -> None:
        if failure != self.failure:  # once, however often it is tried again
            _log.error("%s cannot be asked about tokens, so none is accepted: %s", self._issuer, failure)
        self.failure, self._failed = failure, moment(self._clock)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._under_way: dict[bytes, Future[bool]] = {}
        self._process = os.getpid()


def _known_after(question: Future[bool]) -> bool:
    try:
        return question.result(PATIENCE)
    except TimeoutError:  # not known in time counts as not known
        return False
