"""The line to one cluster's API server: who may ask now, with what, and what a dead server is spared."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from authsec_server.outbound import Answer, FailureReason, Limits, Outbound, OutboundFailed
from authsec_server.sources.credentials import CredentialsUnusable, read_credentials
from authsec_server.sources.lookups import Lookup, LookupState, LookupUnavailable
from authsec_server.sources.model import TrustSource

Answered = TypeVar("Answered")

LIMITS = Limits(seconds=5.0, max_bytes=2 * 1024 * 1024)  # a pod may be as large as the cluster stores things
AT_ONCE = 8  # requests to one cluster: a slow one must not take all of this server's threads
TURN_SECONDS = 1.0  # to wait for one of these
QUIET_SECONDS = 2.0  # after a failure nobody is sent there
_ANSWERS = {200, 201, 404}  # whether there is nothing or the address is wrong, only the body tells


class NotAnswered(Exception):
    """Why there is no answer that could be used, in a clause for an operator, without a full stop."""


class ClusterLine:
    """One revision of a source's API server. Used from any thread.

    Once the server did not answer, the next one who asks is alone: the others would only wait for the same.
    """

    def __init__(
        self,
        source: TrustSource,
        outbound: Outbound,
        *,
        credentials_dir: Path | None,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        limits: Limits,
    ) -> None:
        assert source.cluster is not None, "only a cluster has an API server"
        self.source = source
        self._cluster = source.cluster
        self._outbound = outbound
        self._trust = ssl.create_default_context(cadata=source.cluster.ca) if source.cluster.ca else None
        self._credentials_dir = credentials_dir
        self._now = now
        self._monotonic = monotonic
        self._limits = limits
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._alone = threading.Lock()
        self._down = ""  # why the server did not answer last; empty while it does
        self._quiet_until = float("-inf")
        self._states: dict[Lookup, LookupState] = {}

    def ask(
        self, lookup: Lookup, path: str, document: Mapping[str, Any] | None, read: Callable[[Answer], Answered]
    ) -> Answered:
        """What `read` makes of the answer. Raises `LookupUnavailable`, also where `read` cannot use it."""
        with self._turn(lookup):
            try:
                answer = self._send(lookup, path, document)
                found = read(answer)
            except (NotAnswered, OutboundFailed, CredentialsUnusable) as error:
                raise self._failed(lookup, str(error)) from None
        self._states[lookup] = LookupState(answered_at=self._now())
        return found

    def state(self, lookup: Lookup) -> LookupState:
        """How it went last."""
        return self._states.get(lookup, LookupState())

    @contextmanager
    def _turn(self, lookup: Lookup) -> Iterator[None]:
        self._refuse_while_quiet(lookup)
        gate = self._alone if self._down else self._turns
        if not gate.acquire(timeout=0.0 if self._down else TURN_SECONDS):
            raise self._failed(lookup, self._down or "it is being asked as often at once as this server may")
        try:
            self._refuse_while_quiet(lookup)  # somebody before us may have found out
            yield
        finally:
            gate.release()

    def _refuse_while_quiet(self, lookup: Lookup) -> None:
        if self._down and self._monotonic() < self._quiet_until:
            raise self._failed(lookup, self._down)

    def _send(self, lookup: Lookup, path: str, document: Mapping[str, Any] | None) -> Answer:
        headers = {"Authorization": f"Bearer {read_credentials(self._credentials_dir, self._cluster.credentials)}"}
        asked: dict[str, Any] = {"headers": headers, "limits": self._limits, "trust": self._trust}
        url = self._cluster.url + path
        try:
            answer = (
                self._outbound.get(url, **asked)
                if document is None
                else self._outbound.post_json(url, document, **asked)
            )
        except OutboundFailed as error:
            if error.reason is not FailureReason.TOO_LARGE:  # one pod's answer is no reason to leave all others
                self._goes_quiet(str(error))
            raise
        if answer.status >= 500 or answer.status == 429:
            self._goes_quiet(f"{answer.source} answers {answer.status}")
        else:
            self._down = ""
        if answer.status not in _ANSWERS:
            raise NotAnswered(f"{answer.source} answers {answer.status}{self._hint(lookup, answer.status)}")
        return answer

    def _goes_quiet(self, why: str) -> None:
        self._quiet_until = self._monotonic() + QUIET_SECONDS
        self._down = why

    def _hint(self, lookup: Lookup, status: int) -> str:
        if status == 401:
            return f": it does not accept the token in the file {self._cluster.credentials}. Renew it there"
        if status == 403:
            account = f"the account of the file {self._cluster.credentials}"
            return f": {account} may not {lookup.permission}. Apply what authsec trust rbac {self.source.slug} prints"
        return ""

    def _failed(self, lookup: Lookup, failure: str) -> LookupUnavailable:
        answered = self.state(lookup).answered_at
        self._states[lookup] = LookupState(answered_at=answered, failed_at=self._now(), failure=failure)
        return LookupUnavailable(
            f"The API server of the trust source {self.source.name!r} ({self.source.slug}) cannot be asked: {failure}."
        )
