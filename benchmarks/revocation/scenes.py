"""What befalls authority and APIs in each scene, and the times that come of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median
from typing import Final

from authority import AUDIENCE, Agent, Authority, authority, free_port
from load import load
from resources import ACCEPTED, CLOSED, REVOKED, Resources, RuleBroken, resources
from switch import Switch, switch
from verifiers import Side

IN_USE: Final = 4  # tokens that are asked about at a time
AGENTS_OF_THE_LOAD: Final = 20
LATEST: Final = 30.0  # seconds after which a verifier that still accepts is not waited for
CUT_SHORT: Final = 4.0
GRACE: Final = 2.0  # seconds beyond the stale limit in which all must have closed, for laps and a busy machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How much to measure, of which database."""

    database: str
    revocations: int
    verifiers: int
    processes: int
    lap: float
    stale_after: float
    load: float


@dataclass(frozen=True, slots=True)
class Line:
    """Times of one kind, in seconds."""

    what: str
    seconds: list[float]


@dataclass(slots=True)
class Stage:
    """An authority, its agents, and verifiers that are asked about a token of each all the time."""

    asked: Asked
    authority: Authority
    ports: list[int]
    resources: Resources
    agents: list[Agent]
    tokens: dict[str, int] = field(default_factory=dict)
    bearers: dict[str, str] = field(default_factory=dict, repr=False)

    def renew(self, agent: Agent) -> None:
        """A new token of the agent, in use everywhere."""
        self.bearers[agent.id] = agent.token(self.authority.url())
        self.tokens[agent.id] = self.resources.take(self.bearers[agent.id])

    def revoke(self, agent: Agent, way: str, port: int | None = None) -> tuple[float, float]:
        """End the agent's tokens: when that was asked for, and when it was answered."""
        sent = time.monotonic()
        match way:
            case "client":
                self.authority.post(f"clients/{agent.id}/disable", at=port)
            case "token":
                self.authority.post("tokens/revoke", at=port, token=self.bearers[agent.id])
            case _:
                self.authority.post(f"delegations/{agent.delegations[-1]}/revoke", at=port)
        return sent, time.monotonic()

    def restore(self, agent: Agent, way: str) -> None:
        """Let the agent have tokens again: new ones only."""
        if way == "client":
            self.authority.post(f"clients/{agent.id}/enable")
        elif way == "delegation":
            self.authority.delegate(agent)

    def refused(self, agent: Agent) -> list[float]:
        """When each verifier first refused its token; from then on that one is asked about now and then."""
        token = self.tokens[agent.id]
        moments = self.resources.until(token, REVOKED, patience=LATEST)
        self.resources.retire(token)
        return moments


@contextmanager
def stage(asked: Asked, *, servers: int = 1, switched: bool = False) -> Iterator[tuple[Stage, Switch | None]]:
    """Everything up and running, and every token accepted everywhere."""
    with ExitStack() as stack:
        ports = [free_port() for _ in range(servers)]
        front = free_port() if switched else ports[0]
        between = stack.enter_context(switch(front, list(ports))) if switched else None
        opened = stack.enter_context(authority(asked.database, f"http://127.0.0.1:{front}"))
        for port in ports:
            opened.start(port)
        opened.administer()
        agents = [opened.agent(f"agent-{number}") for number in range(IN_USE)]
        side = Side(
            issuer=opened.issuer, audience=AUDIENCE, verifiers=asked.verifiers, stale_after=asked.stale_after,
            lap=asked.lap,
        )  # fmt: skip
        its = stack.enter_context(resources(side, asked.processes))
        made = Stage(asked, opened, ports, its, agents)
        for agent in agents:
            made.renew(agent)
        its.begin()
        yield made, between
        its.sweep()  # none that was refused is accepted again


def quiet(asked: Asked) -> Iterator[Line]:
    """One server, which does nothing else."""
    with stage(asked) as (its, _):
        yield from _revocations(its)
    yield _resolution(its)


def loaded(asked: Asked) -> Iterator[Line]:
    """One server, which agents ask for tokens all the time."""
    with stage(asked) as (its, _):
        agents = [its.authority.agent(f"busy-{number}") for number in range(AGENTS_OF_THE_LOAD)]
        with load(agents, its.authority.url(), asked.load) as rate:
            yield from _revocations(its)
            yield Line(f"agents got {rate():.0f} tokens a second meanwhile", [])
    yield _resolution(its)


def killed(asked: Asked) -> Iterator[Line]:
    """Two servers behind a switch. Ten times one is killed the moment it has answered, before it told anybody."""
    with stage(asked, servers=2, switched=True) as (its, between):
        assert between is not None
        every = max(2, asked.revocations // 10)
        after_kills: list[float] = []
        others: list[float] = []
        victims = cycle(its.ports)
        for number, agent, way in _turns(its):
            victim = next(victims) if number % every == every - 1 else None
            sent, _ = its.revoke(agent, way, victim)
            if victim is not None:
                its.authority.kill(victim)
            (others if victim is None else after_kills).extend(at - sent for at in its.refused(agent))
            if victim is not None:
                between.servers.remove(victim)  # until it is ready: it listens before
                its.authority.start(victim)
                between.servers.append(victim)
            its.restore(agent, way)
            its.renew(agent)
        yield Line("asked for → refused", others)
        yield Line("the same, its server killed as it answered", after_kills)
    yield _resolution(its)


def cut(asked: Asked) -> Iterator[Line]:
    """Resources cut off from the authority: for a moment, then for longer than they may go without it."""
    with stage(asked, switched=True) as (its, between):
        assert between is not None
        first, second, *rest = its.agents
        for agent, seconds in ((first, CUT_SHORT), (second, asked.stale_after + GRACE)):
            long = seconds > CUT_SHORT
            between.cut()
            began = time.monotonic()
            its.revoke(agent, "delegation")
            if long:
                yield Line("cut off → nothing is accepted any more", [at - began for at in _closed(its, rest)])
            time.sleep(max(0.0, began + seconds - time.monotonic()))
            between.join()
            back = time.monotonic()
            name = f"{seconds:g} s cut off, back → what ended meanwhile is refused"
            yield Line(name, [at - back for at in its.refused(agent)])
            if long:
                moments = [its.resources.until(its.tokens[each.id], ACCEPTED, patience=LATEST) for each in rest]
                yield Line("  and what did not end is accepted again", [at - back for each in moments for at in each])


def dead(asked: Asked) -> Iterator[Line]:
    """The only server is killed, and stays away."""
    with stage(asked) as (its, _):
        began = time.monotonic()
        its.authority.kill(its.ports[0])
        yield Line("killed → nothing is accepted any more", [at - began for at in _closed(its, its.agents)])


def _closed(its: Stage, agents: list[Agent]) -> list[float]:
    """When each verifier began to refuse everything, which is after the stale limit at the latest."""
    began = time.monotonic()
    patience = its.asked.stale_after + GRACE
    moments = [its.resources.until(its.tokens[agent.id], CLOSED, patience=patience) for agent in agents]
    found = [at for each in moments for at in each]
    if max(found) - began > patience:
        raise RuleBroken(f"a verifier accepted tokens {max(found) - began:.1f} s after its feed fell silent")
    return found


def _revocations(its: Stage) -> Iterator[Line]:
    sent_to, answered_to = [], []
    for _, agent, way in _turns(its):
        sent, answered = its.revoke(agent, way)
        moments = its.refused(agent)
        sent_to += [at - sent for at in moments]
        answered_to += [max(0.0, at - answered) for at in moments]
        its.restore(agent, way)
        its.renew(agent)
    yield Line("asked for → refused", sent_to)
    yield Line("answered → refused", answered_to)


def _resolution(its: Stage) -> Line:
    """How often a token was looked at: what is between is part of every figure."""
    often, seldom = (1000 * each for each in (median(its.resources.laps), max(its.resources.laps)))
    return Line(f"each verifier was asked about each token every {often:.0f} ms, at the most {seldom:.0f} ms apart", [])


def _turns(its: Stage) -> Iterator[tuple[int, Agent, str]]:
    """Agent after agent, in ways that take turns."""
    agents, ways = cycle(its.agents), cycle(("delegation", "client", "token"))
    for number in range(its.asked.revocations):
        yield number, next(agents), next(ways)


SCENES: Final[Mapping[str, Callable[[Asked], Iterator[Line]]]] = {
    "quiet": quiet, "load": loaded, "kill": killed, "cut": cut, "dead": dead,
}  # fmt: skip
