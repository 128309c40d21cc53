"""Agents that ask for tokens and an administrator who changes things, all the time, whatever happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, cycle

from .databases import DICE
from .deployment import Agent, Answer, Deployment
from .observations import Change, Observations, Token

PAUSE = 0.2, 0.08  # seconds between two requests of one agent, and between two changes: short and long form
LONGEST_REQUEST = 60.0  # seconds
READINESS = 0.2  # seconds between two looks at /readyz


class Load:
    """Threads that work until `stop`. `healthy` agents are never changed; the administrator changes the others."""

    def __init__(
        self,
        its: Deployment,
        healthy: Sequence[Agent],
        changed: Sequence[Agent],
        seen: Observations,
        *,
        crowd: int,
        long: bool,
    ) -> None:
        self.its = its
        self.healthy = healthy
        self.changed = changed
        self.seen = seen
        self._between = PAUSE[long]
        self._stop = threading.Event()
        self._pause = threading.Event()
        self._failures: list[BaseException] = []
        self._ports = list(its.servers)
        works: list[Callable[[], None]] = [self._watch_readiness, self._administer]
        works += [self._asking(agent, turn) for turn, agent in enumerate([*healthy, *changed])]
        works += [self._asking(healthy[turn % len(healthy)], turn) for turn in range(crowd)]
        self._threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in works]
        self._pausing = self._threads[1:]  # all but the first, which changes nothing
        self._waiting = set[int]()  # threads without a request under way

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all threads. Raises what a thread could not handle."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        if self._failures:
            raise self._failures[0]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No new request begins while this is open, and none of before is under way."""
        self._pause.set()
        deadline = time.monotonic() + LONGEST_REQUEST
        while sum(thread.is_alive() for thread in self._pausing) > len(self._waiting):
            assert time.monotonic() < deadline, "a request did not end"
            time.sleep(0.01)
        try:
            yield
        finally:
            self._pause.clear()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in `stop`
            self._failures.append(error)

    def _going(self) -> bool:
        while self._pause.is_set() and not self._stop.is_set():
            self._waiting.add(threading.get_ident())
            time.sleep(0.01)
        self._waiting.discard(threading.get_ident())
        return not self._stop.is_set()

    def _asking(self, agent: Agent, turn: int) -> Callable[[], None]:
        def work() -> None:
            for number in count(turn):
                if not self._going():
                    return
                port = self._ports[number % len(self._ports)]
                answer = self.its.ask(port, agent)
                self.seen.answered("token", answer.status, str(answer.body))
                if answer.status == 200:
                    token = Token.read(answer.body["token"], sent=answer.sent, received=answer.received, port=port)
                    self.seen.tokens.append(token)
                time.sleep(self._between * DICE.uniform(0.5, 1.5))

        return work

    def _watch_readiness(self) -> None:
        while not self._stop.is_set():
            for port in self._ports:
                began = time.monotonic()
                self.seen.ready.append((port, began, self.its.ready(port)))
            time.sleep(READINESS)

    def _administer(self) -> None:
        turns = cycle([self._disable, self._revoke_delegation, self._narrow_role, self._revoke_tokens])
        for agent in cycle(self.changed):
            if not self._going():
                return
            next(turns)(agent)
            time.sleep(self._between)

    def _disable(self, agent: Agent) -> None:
        self._until_done(lambda: self._change("client.disabled", agent.client, f"clients/{agent.client}/disable"))
        time.sleep(self._between * 3)
        self._until_done(lambda: self._change("client.enabled", agent.client, f"clients/{agent.client}/enable"))

    def _revoke_delegation(self, agent: Agent) -> None:
        recent = self._recent(agent)
        for delegation in recent.delegations if recent else ():
            self._until_done(
                lambda delegation=delegation: self._change(
                    "delegation.revoked", delegation, f"delegations/{delegation}/revoke"
                )
            )
        self._until_done(lambda: self._change("delegation.created", "", "delegations", **self.its.terms(agent)))

    def _narrow_role(self, agent: Agent) -> None:
        for actions in (["customers:read"], ["customers:read", "customers:write"]):
            kind = "role.edited" if len(actions) == 1 else "role.widened"
            path = f"roles/{agent.role}"
            self._until_done(lambda kind=kind, path=path, it=actions: self._change(kind, agent.role, path, actions=it))

    def _revoke_tokens(self, agent: Agent) -> None:
        if recent := self._recent(agent):
            self._until_done(lambda: self._change("token.revoked", recent.jti, "tokens/revoke", jti=recent.jti))
        path = f"clients/{agent.client}/revoke-tokens"
        self._until_done(lambda: self._change("client.tokens_revoked", agent.client, path))

    def _recent(self, agent: Agent) -> Token | None:
        return next((each for each in reversed(self.seen.tokens) if each.client == agent.client), None)

    def _until_done(self, change: Callable[[], Answer]) -> None:
        """Repeat the change until a server makes or refuses it."""
        while self._going():
            answer = change()
            if answer.status and answer.status < 500:
                return
            time.sleep(self._between)

    def _change(self, kind: str, subject: str, path: str, **body: object) -> Answer:
        port = DICE.choice(self._ports)
        method = "PATCH" if kind.startswith("role.") else "POST"
        answer = self.its.administer(port, method, path, **body)
        self.seen.answered("change", answer.status, str(answer.body))
        if answer.done and isinstance(answer.body, dict) and answer.body.get("already"):
            return answer  # ended before: nothing to record
        if answer.done or ((answer.status == 0 or answer.status >= 500) and answer.reached):
            answered = answer.received if answer.done else None
            self.seen.changes.append(
                Change(kind=kind, subject=subject, request_id=answer.request_id, sent=answer.sent, answered=answered)
            )
        return answer
