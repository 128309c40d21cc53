"""The whole of `python -m benchmarks`: start the servers, fill their databases, measure in turns."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.tokens.authorities import (
    Agents,
    Site,
    fill_with_agents,
    fill_with_events,
    running_postgresql,
    running_site,
)
from benchmarks.tokens.load import Request
from benchmarks.tokens.measures import Results, Source, Value, changes, cost, latency, measure, memory, rate
from benchmarks.tokens.processes import megabytes
from benchmarks.tokens.reference import REQUEST, running_provider

OURS: Final = "no proof"
ALONE: Final = ", 1 connection"
REFERENCE: Final = "oidc-provider"
MEMORY: Final = 200.0  # megabytes
WARM_SECONDS: Final = 20  # in which each of very many agents gets a token


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    rounds: int = 5
    seconds: int = 5
    agents: int = 10_000
    clients: int = 100_000
    events: int = 1_000_000
    connections: tuple[int, ...] = (1, 4, 16, 64, 256)
    warms_up: bool = True
    has_reference: bool = True

    @classmethod
    def smoke(cls) -> Self:
        """The least that goes every way once."""
        few = cls(rounds=1, seconds=1, agents=50, clients=100, events=200, connections=(1, 16))
        return replace(few, warms_up=False, has_reference=False)

    @property
    def turns(self) -> int:
        """How often each source is asked."""
        return self.rounds + self.warms_up

    def changed(self, *, rounds: int | None, seconds: int | None) -> Self:
        """The size with other rounds, where they are not None."""
        return replace(self, rounds=rounds or self.rounds, seconds=seconds or self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was measured. `results` has the rounds by source, and `steps` those of one source by connections."""

    size: Size
    values: list[Value]
    results: Results
    steps: Results
    signature: float  # microseconds


def run_all(folder: Path, size: Size, console: Console) -> Report:
    """Measure everything, with what it needs in this folder."""
    columns = (TextColumn("{task.description:40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as stack, Progress(*columns, console=console) as progress:
        sources, large = _authorities(stack, folder, size, progress)
        if size.has_reference:
            sources += _provider(stack, folder, progress)
        turns = progress.add_task("", total=len(sources) * size.turns)

        def next_turn(name: str) -> None:
            progress.update(turns, description=name, advance=1)

        ask = partial(measure, seconds=size.seconds, progress=next_turn, warms_up=size.warms_up)
        results = ask(sources, rounds=size.rounds)
        ours = next(each for each in sources if each.name == OURS)
        stepped = [replace(ours, name=str(number), connections=number) for number in size.connections]
        progress.update(turns, total=len(sources) * size.turns + len(stepped) * (1 + size.warms_up))
        steps = ask(stepped, rounds=1)
        used = megabytes(large.target.process)
    return Report(
        size=size,
        values=_values(results, used, size),
        results=results,
        steps=steps,
        signature=1e6 * median(one.signature for rounds in results.rounds.values() for one in rounds),
    )


def _authorities(stack: ExitStack, folder: Path, size: Size, progress: Progress) -> tuple[list[Source], Site]:
    """Start three authorities and fill them. Return what is asked of them, and the one with very many clients."""
    url, process = stack.enter_context(running_postgresql(folder / "postgresql"))
    sqlite = stack.enter_context(running_site(folder / "sqlite"))
    postgresql = stack.enter_context(running_site(folder / "on-postgresql", url, (process,)))
    large = stack.enter_context(running_site(folder / "large"))
    agents, on_postgresql = Agents(sqlite), Agents(postgresql)
    many = _filled(sqlite, size.agents, progress)
    very_many = _filled(large, size.clients, progress)
    task = progress.add_task(f"{size.events:,} events are added and sealed", total=size.events)
    fill_with_events(large, size.events, lambda number: progress.advance(task, number))
    here, there = sqlite.target, postgresql.target
    return [
        Source(name=OURS, target=here, requests=agents.unattested),
        Source(name="key pair, RS256", target=here, requests=partial(agents.with_key, "RS256")),
        Source(name="key pair, Ed25519", target=here, requests=partial(agents.with_key, "Ed25519")),
        Source(name="Kubernetes token", target=here, requests=agents.in_cluster),
        Source(name="no proof, ES256", target=here, requests=partial(agents.for_algorithm, "ES256")),
        Source(name="no proof, EdDSA", target=here, requests=partial(agents.for_algorithm, "EdDSA")),
        Source(name="PostgreSQL, no proof", target=there, requests=on_postgresql.unattested),
        Source(name="PostgreSQL, key pair, Ed25519", target=there, requests=partial(on_postgresql.with_key, "Ed25519")),
        Source(name=OURS + ALONE, target=here, requests=agents.unattested, connections=1),
        Source(
            name="many agents",
            target=large.target,
            requests=lambda _: very_many[: size.agents],
            order="random",
            warm_seconds=WARM_SECONDS,
        ),
        Source(name="first tokens", target=here, requests=partial(agents.after_a_change, many), order="random"),
        Source(name="many clients and events", target=large.target, requests=lambda _: very_many[:1]),
        Source(name="authority changes", target=here, requests=agents.unattested, changing=sqlite),
        # Not at `large`: the changes would make each of its next tokens the first one after a change.
        Source(
            name="authority changes, many agents",
            target=here,
            requests=lambda _: many,
            order="random",
            changing=sqlite,
        ),
    ], large


def _filled(site: Site, number: int, progress: Progress) -> list[Request]:
    task = progress.add_task(f"{number:,} clients are added", total=number)
    return fill_with_agents(site, number, lambda added: progress.advance(task, added))


def _provider(stack: ExitStack, folder: Path, progress: Progress) -> list[Source]:
    task = progress.add_task("npm installs oidc-provider", total=1)
    target = stack.enter_context(running_provider(folder / "provider"))
    progress.advance(task)
    return [
        Source(name=REFERENCE, target=target, requests=lambda _: [REQUEST]),
        Source(name=REFERENCE + ALONE, target=target, requests=lambda _: [REQUEST], connections=1),
    ]


def _values(results: Results, used: float, size: Size) -> list[Value]:
    reference = REFERENCE if size.has_reference else None
    many, very_many = f"{size.agents:,} agents in random order", f"{size.clients:,} clients, {size.events:,} events"
    values = [
        cost(results, OURS, must=1.5, aim=1.35),
        cost(results, "key pair, RS256", must=1.9, aim=1.7),
        cost(results, "key pair, Ed25519", must=2.2, aim=2.0),
        cost(results, "Kubernetes token", must=1.7, aim=1.5),
        cost(results, "no proof, ES256", must=0.6, aim=0.5),
        cost(results, "no proof, EdDSA"),
        cost(results, "PostgreSQL, no proof", must=1.8, aim=1.6),
        cost(results, "PostgreSQL, key pair, Ed25519", must=2.6, aim=2.2),
    ]
    if reference:
        values.append(rate(results, OURS, reference, name="tokens a second", must=1.3, aim=1.5))
    return [
        *values,
        latency(results, OURS, reference, name="p99, 64 connections", aim=40),
        latency(results, OURS + ALONE, reference and reference + ALONE, name="p99, 1 connection", aim=3),
        rate(results, "many agents", OURS, name=f"tokens a second, {many}", must=0.85, aim=0.95),
        rate(results, "first tokens", OURS, name="tokens a second, the same after a change"),
        rate(results, "many clients and events", OURS, name=f"tokens a second, {very_many}", must=0.85, aim=0.95),
        rate(results, "authority changes", OURS, name="tokens a second, 5 changes a second", must=0.7, aim=0.85),
        rate(
            results,
            "authority changes, many agents",
            OURS,
            name=f"tokens a second, {many}, 5 changes a second",
            must=0.7,
            aim=0.85,
        ),
        changes(results, must=300),
        memory(used, name=f"memory, {very_many}", must=MEMORY),
    ]
