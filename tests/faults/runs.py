"""One run: a deployment, load, a fault in several rounds, and the verdict."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .databases import Cluster, Kind, cluster, small_disk
from .deployment import Deployment, deployment
from .faults import Fault
from .invariants import TITLES, Event, slowest_refusal, violations
from .load import Load
from .observations import Observations, Window
from .scene import Over, Scene
from .verifiers import Apis

HEALTHY, CHANGED = 4, 3  # agents: half of each have a key pair
RECOVERY = 60.0  # seconds after which a server or an API that does not work is not waited for
SETTLING = 1.5  # seconds of work before the first fault and after the last recovery
DISK = {"sqlite": 24, "postgresql": 160}  # megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Seconds from the end of a fault to the first token, to `ready`, and to the first token accepted by all APIs."""

    token: float | None
    ready: float | None
    accepted: float | None


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of a run."""

    fault: str
    what: str
    kind: Kind
    rounds: int
    answers: Counter[tuple[str, str]]
    tokens: int
    changes: int
    violations: dict[str, list[str]]
    recoveries: list[Recovery] = field(default_factory=list)
    slowest_refusal: float = 0.0
    slowest_change: float = 0.0

    @property
    def requests(self) -> int:
        """Requests of agents and of the administrator."""
        return sum(number for (what, _), number in self.answers.items() if what != "api")

    @property
    def found(self) -> list[str]:
        """All violations, each with the name of the invariant."""
        return [f"{name}: {each}" for name, all_of_it in self.violations.items() for each in all_of_it]


def run(fault: Fault, kind: Kind, folder: Path, shared: Cluster | None, *, long: bool, rounds: int = 0) -> Result:
    """Run a fault on a database. Raises `PermissionError` where the machine cannot have the fault."""
    rounds = rounds or fault.rounds[long]
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(folder / "disk", DISK[kind])) if fault.own_disk else None
        of_its_own = cluster(disk) if disk is not None and kind == "postgresql" else None
        database = stack.enter_context(of_its_own) if of_its_own is not None else shared
        if kind == "sqlite":
            database = None
            if disk is not None:
                (folder / "data").symlink_to(disk / "data")
                (disk / "data").mkdir(mode=0o700)
        its = stack.enter_context(
            deployment(
                kind, folder, database, servers=2 if database else 1, proxied=fault.proxied, program=fault.program
            )
        )
        return _rounds(its, fault, rounds, long, disk)


def _rounds(its: Deployment, fault: Fault, rounds: int, long: bool, disk: Path | None) -> Result:
    seen = Observations()
    healthy = [its.onboard(f"Healthy {number}", keyed=number % 2 == 0) for number in range(HEALTHY)]
    changed = [its.onboard(f"Changed {number}", keyed=number % 2 == 0) for number in range(CHANGED)]
    load, apis = Load(its, healthy, changed, seen, crowd=fault.crowd), Apis(its.issuer, seen)
    scene = Scene(its=its, load=load, apis=apis, seen=seen, long=long, disk=disk)
    recoveries: list[Recovery] = []
    load.start()
    apis.start()
    try:
        time.sleep(SETTLING)
        for _ in range(rounds):
            scene.wait_a_moment()
            over = fault.inject(scene)
            recoveries.append(recovery(scene, over))
            seen.faults.append(Window(begin=over.begin, end=time.monotonic()))
        time.sleep(SETTLING)
    finally:
        load.stop()
        apis.stop()
    found_recovery = [f"{each}" for each in recoveries if None in (each.token, each.ready, each.accepted)]
    if found_recovery:  # what follows needs servers that answer
        for port in its.servers:
            its.servers[port].stop()
            its.start(port)
    log = read_log(its)
    found = violations(seen, log, states(its, [agent.client for agent in (*healthy, *changed)]))
    found["log"] = verify(its)
    found["recovery"] = found_recovery
    return Result(
        fault=fault.name,
        what=fault.what,
        kind=its.kind,
        rounds=rounds,
        answers=seen.answers,
        tokens=len(seen.tokens),
        changes=sum(change.answered is not None for change in seen.changes),
        violations={name: found[name] for name in TITLES},
        recoveries=recoveries,
        slowest_refusal=slowest_refusal(seen, log),
        slowest_change=seen.slowest_change,
    )


def recovery(scene: Scene, over: Over) -> Recovery:
    """Wait until every server of the fault gives tokens and is ready, and every API accepts a new one."""
    deadline = time.monotonic() + RECOVERY
    token: dict[int, float] = {}
    ready: dict[int, float] = {}
    accepted: dict[int, float] = {}
    seen = scene.seen
    from_token, from_ready = 0, 0
    fresh: list[str] = []
    while time.monotonic() < deadline:
        for each in seen.tokens[from_token:]:
            from_token += 1
            if each.sent >= over.end:
                fresh.append(each.jti)
                token.setdefault(each.port, each.received - over.end)
        for port, at, status in seen.ready[from_ready:]:
            from_ready += 1
            if at >= over.end and status == 200:
                ready.setdefault(port, at - over.end)
        for verifier in range(scene.apis.number):
            if verifier not in accepted:
                moments = [seen.sightings[verifier, jti].first_accepted for jti in fresh if (verifier, jti) in seen.sightings]
                if moments and min(moments) < float("inf"):
                    accepted[verifier] = min(moments) - over.end
        if token.keys() >= set(over.ports) and ready.keys() >= set(over.ports) and len(accepted) == scene.apis.number:
            break
        time.sleep(0.05)
    return Recovery(
        token=_last(token, len(over.ports)), ready=_last(ready, len(over.ports)), accepted=_last(accepted, scene.apis.number)
    )  # fmt: skip


def _last(seconds: dict[int, float], wanted: int) -> float | None:
    return max(seconds.values()) if len(seconds) >= wanted else None


def read_log(its: Deployment) -> list[Event]:
    """The whole audit log, as `authsec audit export` prints it."""
    exported = its.command("audit", "export")
    assert exported.returncode == 0, exported.stderr
    return [json.loads(line) for line in exported.stdout.splitlines()]


def states(its: Deployment, clients: Sequence[str]) -> dict[str, bool]:
    """Whether each client is enabled, as the admin API says."""
    return {client: bool(_client(its, client)["enabled"]) for client in clients}


def _client(its: Deployment, client: str) -> Any:
    return its.must("GET", f"clients/{client}")


def verify(its: Deployment) -> list[str]:
    """What `authsec audit verify` finds with the outside heads; empty if all is as sealed."""
    keys = its.folder / "keys.json"
    keys.write_text(json.dumps(its.must("GET", "events/keys")))
    done = its.command("audit", "verify", "--key", str(keys), "--head", str(its.heads))
    return [] if done.returncode == 0 else [f"authsec audit verify ended with {done.returncode}: {done.stdout} {done.stderr}"]
