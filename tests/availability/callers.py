"""Two servers behind haproxy, agents that use the SDK, and an API that verifies their tokens."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authsec import AuthSecClient, AuthSecConfig, InvalidToken, TokenVerifier, VerificationUnavailable
from authsec.clock import Clock
from free_ports import free_port

from .haproxy import haproxy

PAUSE = 0.02  # seconds between two uses of a token
LIFE = 60  # seconds of a token: the shortest that the authority issues
DRAIN = "4"  # seconds


@dataclass
class Seen:
    """What the callers saw. Times are monotonic."""

    uses: int = 0
    tokens: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    fresh: list[float] = field(default_factory=list)  # when a caller without a cache got a token
    fresh_failures: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # what an API said of a live token

    def longest_gap(self, since: float) -> float:
        """The longest time without a fresh token, in seconds."""
        times = [since, *sorted(each for each in self.fresh if each >= since)]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)


class Site:
    """haproxy, two servers, callers and an API."""

    def __init__(self, stack: ExitStack, serve: Any, folder: Path, clock: Clock) -> None:
        self.ports = [free_port(), free_port()]
        self._serve, self._clock, self._folder = serve, clock, folder
        self._haproxy = stack.enter_context(ExitStack())
        self.port = self._haproxy.enter_context(haproxy(folder, self.ports))
        self.url = f"http://127.0.0.1:{self.port}"
        self.servers = {port: self.start(port) for port in self.ports}
        stack.callback(lambda: [its.process.kill() for its in self.servers.values()])  # a drain takes seconds
        self.seen = Seen()
        its = self.servers[self.ports[0]]
        role = its.role("Reader", "customers:read")
        self.agents = [its.agent(f"Agent {number}", keyed=number == 0) for number in range(4)]
        for agent in self.agents:
            its.delegate(role, agent, "customers:read", max_duration=LIFE)
        self._await_both()

    def start(self, port: int) -> Any:
        limits = dict.fromkeys(("AUTHSEC_SERVER_UNPROVED_LIMIT", "AUTHSEC_SERVER_ADDRESS_LIMIT"), "1000000")
        return self._serve(
            port=port,
            AUTHSEC_SERVER_PUBLIC_URL=self.url,
            AUTHSEC_SERVER_DRAIN_SECONDS=DRAIN,
            AUTHSEC_SERVER_TRUSTED_PROXIES="127.0.0.1/32",
            **limits,
        )

    def stop_haproxy(self) -> None:
        self._haproxy.close()

    def start_haproxy(self) -> None:
        self._haproxy.enter_context(haproxy(self._folder, self.ports, port=self.port))

    def _await_both(self) -> None:
        """Wait until haproxy sends requests to both servers."""
        deadline = time.monotonic() + 30
        its = self.servers[self.ports[0]]
        while sum(its.http.get(f"{self.url}/readyz").status_code == 200 for _ in range(4)) < 4:
            assert time.monotonic() < deadline, "haproxy has no server"
            time.sleep(0.05)

    @contextmanager
    def load(self) -> Iterator[Seen]:
        """Callers with a cache, one without, and an API that verifies their tokens."""
        over = threading.Event()
        works: list[Callable[[], None]] = [lambda agent=agent: self._use(agent, over) for agent in self.agents[1:]]
        works += [lambda: self._request(self.agents[1], over), lambda: self._verify(over)]
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield self.seen
        finally:
            over.set()
            for thread in threads:
                thread.join(60)

    def _client(self, agent: Any, clock: Clock) -> AuthSecClient:
        config = AuthSecConfig(base_url=self.url, client_id=agent.client_id, timeout=100.0)
        return AuthSecClient(config, clock=clock)

    def _use(self, agent: Any, over: threading.Event) -> None:
        client = self._client(agent, self._clock)
        while not over.wait(PAUSE):
            try:
                self.seen.tokens.add(client.get_delegation_token())
                self.seen.uses += 1
            except Exception as error:  # noqa: BLE001 - the test reports it
                self.seen.failures.append(f"{type(error).__name__}: {error}")

    def _request(self, agent: Any, over: threading.Event) -> None:
        client = self._client(agent, Clock())
        while not over.wait(PAUSE):
            try:
                client.get_token(force_refresh=True)
                self.seen.fresh.append(time.monotonic())
            except Exception as error:  # noqa: BLE001 - outside of a token's life, an error is allowed
                self.seen.fresh_failures.append(f"{type(error).__name__}: {error}")

    def _verify(self, over: threading.Event) -> None:
        client = self._client(self.agents[2], Clock())
        with closing(TokenVerifier(self.url, "authsec-api")) as verifier:
            while not over.wait(PAUSE):
                try:
                    verifier.verify(client.get_delegation_token())
                except (InvalidToken, VerificationUnavailable) as error:
                    self.seen.refused.append(f"{error.reason}: {error}")
