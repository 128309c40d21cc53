"""One run: a deployment, load, faults in several rounds, and the verdict."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .databases import Cluster, Kind, cluster, small_disk
from .deployment import AUTHSEC, IMPATIENT, WITH_A_CLOCK, Deployment, deployment
from .faults import Fault
from .invariants import TITLES, Event, slowest_refusal, violations
from .load import Load
from .observations import Observations, Window
from .scene import Over, Scene
from .verifiers import Apis

HEALTHY, CHANGED = 3, 3  # agents; every other one has a key pair
RECOVERY = 60.0  # seconds after which a server or an API that does not work is not waited for
SEALED = 30.0  # seconds after which the last events of a run have their seal, on a busy machine too
NOT_ALL_CHECKED = 6  # exit status of `audit verify`
DISK = {"sqlite": 24, "postgresql": 160}  # megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Seconds from the end of a fault to the first token, to `ready`, and to the first token that all APIs accept.

    None where that did not come within `RECOVERY`.
    """

    token: float | None
    ready: float | None
    accepted: float | None
    stays_unready: bool = False

    @property
    def complete(self) -> bool:
        """Whether everything works again that has to."""
        return None not in (self.token, self.accepted) and (self.stays_unready or self.ready is not None)


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
        """All violations, each with the title of the invariant."""
        return [f"{TITLES[name]}: {each}" for name, several in self.violations.items() for each in several]


def run(
    faults: Sequence[Fault],
    kind: Kind,
    folder: Path,
    shared: Cluster | None,
    *,
    long: bool = False,
    rounds: int = 0,
    program: Sequence[str] = (),
    forks: bool = False,
) -> Result:
    """Run faults on a database, one after the other. Raises `PermissionError` where the machine cannot have a fault.

    `forks`: servers are forked from a process that has imported everything, and wait less long for locks and for
    PostgreSQL, so recovery times are not those of a user.
    """
    with ExitStack() as stack:
        disk, database = None, shared if kind == "postgresql" else None
        if any(fault.own_disk for fault in faults):
            disk = stack.enter_context(small_disk(folder / "disk", DISK[kind]))
            if kind == "postgresql":
                database = stack.enter_context(cluster(disk))
            else:
                (disk / "data").mkdir(mode=0o700)
                (folder / "data").symlink_to(disk / "data")
        its = stack.enter_context(
            deployment(
                kind,
                folder,
                database,
                servers=2 if database else 1,
                proxied=any(fault.proxied for fault in faults),
                program=program or _program(faults, forks=forks),
                forks=forks,
            )
        )
        seen = Observations()
        agents = [its.onboard(f"Agent {number}", keyed=number % 2 == 0) for number in range(HEALTHY + CHANGED)]
        crowd = max(fault.crowd for fault in faults)
        load = Load(its, agents[:HEALTHY], agents[HEALTHY:], seen, crowd=crowd, long=long)
        scene = Scene(its=its, load=load, apis=Apis(its.issuer, seen, long=long), seen=seen, long=long, disk=disk)
        several = [fault for fault in faults for _ in range(rounds or fault.rounds[long])]
        recoveries = _work(scene, several)
        return _judged(scene, faults, recoveries)


def _program(faults: Sequence[Fault], *, forks: bool) -> Sequence[str]:
    if any(fault.clock for fault in faults):
        return WITH_A_CLOCK
    return IMPATIENT if forks else AUTHSEC


def _work(scene: Scene, faults: Sequence[Fault]) -> list[Recovery]:
    """Load, and the faults one after the other, each with the recovery."""
    recoveries = []
    scene.load.start()
    scene.apis.start()
    try:
        time.sleep(scene.lasts(0.5, 1.0))  # of work before the first fault, and after the last recovery
        for fault in faults:
            scene.wait_a_moment()
            over = fault.inject(scene)
            recoveries.append(recovery(scene, over, stays_unready=fault.stays_unready))
            scene.seen.faults.append(Window(begin=over.begin, end=time.monotonic()))
        time.sleep(scene.lasts(0.5, 1.0))
    finally:
        scene.load.stop()
        scene.apis.stop()
    return recoveries


def _judged(scene: Scene, faults: Sequence[Fault], recoveries: list[Recovery]) -> Result:
    its, seen = scene.its, scene.seen
    lasting = [str(each) for each in recoveries if not each.complete]
    if lasting:  # the questions below need servers that answer
        for port in list(its.servers):
            its.servers[port].stop()
            its.start(port)
    log = read_log(its)
    clients = [agent.client for agent in (*scene.load.healthy, *scene.load.changed)]
    found = violations(seen, log, {client: its.must("GET", f"clients/{client}")["enabled"] for client in clients})
    found |= {"log": verify(its), "recovery": lasting}
    return Result(
        fault=" + ".join(fault.name for fault in faults),
        what="; ".join(fault.what for fault in faults),
        kind=its.kind,
        rounds=len(recoveries),
        answers=seen.answers,
        tokens=len(seen.tokens),
        changes=sum(change.answered is not None for change in seen.changes),
        violations={name: found[name] for name in TITLES},
        recoveries=recoveries,
        slowest_refusal=slowest_refusal(seen, log),
        slowest_change=seen.slowest_change,
    )


def recovery(scene: Scene, over: Over, *, stays_unready: bool = False) -> Recovery:
    """Wait until every server of the fault issues and is ready, and every API accepts a new token."""
    deadline = time.monotonic() + RECOVERY
    seen, ports, apis = scene.seen, set(over.ports), set(range(scene.apis.number))
    token: dict[int, float] = {}
    ready: dict[int, float] = {}
    accepted: dict[int, float] = {}
    fresh: list[str] = []
    from_token = from_ready = 0
    while time.monotonic() < deadline:
        if token.keys() >= ports and (stays_unready or ready.keys() >= ports) and accepted.keys() >= apis:
            break
        time.sleep(0.05)
        for each in seen.tokens[from_token:]:
            from_token += 1
            if each.sent >= over.end:
                fresh.append(each.jti)
                token.setdefault(each.port, each.received - over.end)
        for port, at, status in seen.ready[from_ready:]:
            from_ready += 1
            if at >= over.end and status == 200:
                ready.setdefault(port, at - over.end)
        for api in apis - set(accepted):
            sightings = [seen.sightings[api, jti] for jti in fresh if (api, jti) in seen.sightings]
            first = min((each.first_accepted for each in sightings), default=math.inf)
            if first < math.inf:
                accepted[api] = first - over.end
    return Recovery(
        token=_last(token, ports),
        ready=_last(ready, ports),
        accepted=_last(accepted, apis),
        stays_unready=stays_unready,
    )


def _last(seconds: dict[int, float], wanted: set[int]) -> float | None:
    return max(seconds[each] for each in wanted) if seconds.keys() >= wanted else None


def read_log(its: Deployment) -> list[Event]:
    """The whole audit log, as `authsec audit export` prints it."""
    exported = its.command("audit", "export")
    assert exported.returncode == 0, exported.stderr
    return [json.loads(line) for line in exported.stdout.splitlines()]


def verify(its: Deployment) -> list[str]:
    """What `authsec audit verify` finds with the outside checkpoints; empty if all is as sealed.

    The last events of the run get their seal a moment later: until then a change may be proved by them alone.
    """
    keys = its.folder / "keys.json"
    keys.write_text(json.dumps(its.must("GET", "events/keys")))
    checkpoints = [
        word
        for file in (*its.checkpoints_kept, its.checkpoints)
        if file.exists()
        for word in ("--checkpoint", str(file))
    ]
    deadline = time.monotonic() + SEALED
    while True:
        done = its.command("audit", "verify", "--key", str(keys), *checkpoints)
        if done.returncode != NOT_ALL_CHECKED or time.monotonic() > deadline:
            break
        time.sleep(1.0)
    return [] if done.returncode == 0 else [f"exit status {done.returncode}: {done.stdout}{done.stderr}"]
