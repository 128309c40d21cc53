"""The primary of PostgreSQL is killed under load, and its standby takes its place."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from authsec.clock import Clock
from authsec.jose import parse_compact

from ..faults.databases import Cluster
from ..faults.deployment import AUTHSEC, deployment
from ..faults.faults import Fault
from ..faults.restoring import _restored
from ..faults.runs import Result, read_log, run, verify
from ..faults.scene import Over, Scene
from .callers import LIFE, Site
from .standby import Pair, pair

pytestmark = pytest.mark.soak  # test_promoted.py of the server has a server that meets another primary


DECISION = 1.0  # seconds until somebody promotes the standby


@pytest.fixture
def both() -> Iterator[Pair]:
    with pair() as made:
        yield made


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deployment")


def outcome(fault: Fault, folder: Path, both: Any) -> Result:
    shared: Cluster = both  # it has what a deployment needs of a cluster
    result = run([fault], "postgresql", folder, shared, rounds=1, program=AUTHSEC, forks=True)
    print(result, result.recoveries)
    return result


def without_tokens(scene: Scene, since: float, until: float) -> float:
    """The longest time without a token, in seconds."""
    times = sorted(token.received for token in scene.seen.tokens if since - 5 < token.received < until)
    return max(b - a for a, b in itertools.pairwise(times))


@pytest.mark.parametrize("way", ["killed", "frozen"])
def test_a_synchronous_standby_loses_nothing(both: Pair, folder: Path, way: str) -> None:
    both.make_synchronous()
    scenes = []

    def fail_over(scene: Scene) -> Over:
        scenes.append(scene)
        scene.its.keep_checkpoints()
        begin = time.monotonic()
        if way == "killed":
            both.primary.kill()
        else:
            both.freeze_primary()
        time.sleep(DECISION)
        both.promote()
        return Over(begin=begin, end=time.monotonic(), ports=list(scene.its.servers))

    result = outcome(Fault(name=f"failover-{way}", what="failover", inject=fail_over), folder, both)
    (over,) = scenes[0].seen.faults
    print(
        f"{way}: promoted after {DECISION:.1f} s, "
        f"without tokens for {without_tokens(scenes[0], over.begin, over.end + 60):.1f} s"
    )
    assert result.found == []
    assert result.tokens > 0


def test_without_its_synchronous_standby_the_primary_confirms_nothing(both: Pair, folder: Path) -> None:
    both.make_synchronous()
    scenes = []

    def lose_the_standby(scene: Scene) -> Over:
        scenes.append(scene)
        begin = time.monotonic()
        both.kill_standby()
        time.sleep(8.0)
        issued = [token for token in scene.seen.tokens if token.sent > begin + 0.5]
        scene.seen.unexpected += [f"token {token.jti} was issued without the standby" for token in issued]
        both.go_on_alone()
        return Over(begin=begin, end=time.monotonic(), ports=list(scene.its.servers))

    result = outcome(Fault(name="no-standby", what="no standby", inject=lose_the_standby), folder, both)
    (over,) = scenes[0].seen.faults
    print(f"without tokens for {without_tokens(scenes[0], over.begin, over.end + 60):.1f} s, 8 s of them on purpose")
    assert result.found == []


def test_after_an_asynchronous_failover_servers_wait_for_admin_restored(both: Pair, folder: Path) -> None:
    problems = []

    def fail_over(scene: Scene) -> Over:
        its = scene.its
        with scene.load.paused():  # so that it is certain which tokens the standby has
            both.await_replay()
            its.keep_checkpoints()
            both.hold_back()
            lost_since = time.monotonic()
        time.sleep(0.7)
        with scene.load.paused():
            both.primary.kill()
            both.promote()
            promoted = time.monotonic()
        time.sleep(8.0)
        scene.seen.unasked += [
            f"token {token.jti} was issued by a promoted standby"
            for token in scene.seen.tokens
            if token.sent > promoted
        ]
        problems.extend(its.call(port, "GET", "/readyz").body["status"] for port in its.servers)
        return _restored(scene, lost_since)

    result = outcome(Fault(name="failover", what="failover", inject=fail_over), folder, both)
    assert problems == ["database_older", "database_older"]
    assert result.found == []


def test_a_lost_token_alone_stops_every_server(both: Pair, folder: Path) -> None:
    """No change is lost, so the authority version is the same, and one server alone knows of the token."""
    with deployment("postgresql", folder, both, servers=2, proxied=False, forks=True) as its:  # type: ignore[arg-type]
        first, second = its.servers
        agent = its.onboard("Agent", keyed=True)
        assert its.ask(first, agent).status == its.ask(second, agent).status == 200
        time.sleep(7.0)  # the last checkpoint is of before, and both servers have compared it
        both.await_replay()
        both.hold_back()
        lost = its.ask(first, agent)
        assert lost.status == 200
        both.primary.kill()
        both.promote()
        deadline = time.monotonic() + 30
        granted = []
        while [its.call(port, "GET", "/readyz").body.get("status") for port in its.servers] != ["database_older"] * 2:
            granted += [port for port in its.servers if its.ask(port, agent).status == 200]
            assert time.monotonic() < deadline, f"the servers go on: {len(granted)} tokens"
            time.sleep(0.1)
        assert granted == []
        done = its.command("admin", "restored", "--yes", "--checkpoint", str(its.checkpoints))
        assert done.returncode == 0, done.stderr
        while not all(its.ready(port) == 200 for port in its.servers):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert its.ask(first, agent).status == its.ask(second, agent).status == 200


def test_no_caller_notices_that_a_machine_with_a_server_and_the_primary_ends(
    both: Pair, serving: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With SDK callers and tokens of 60 seconds. Somebody promotes the standby after 10 seconds."""
    both.make_synchronous()
    where, folder = both.uri_of(both.create()), tmp_path_factory.mktemp("site")
    with serving(folder, where) as serve, ExitStack() as stack:
        site = Site(stack, serve, folder, Clock())
        with site.load() as seen:
            time.sleep(5)
            since = time.monotonic()
            site.servers[site.ports[0]].process.kill()
            both.primary.kill()
            time.sleep(10)
            both.promote()
            time.sleep(LIFE)
    print(
        f"{seen.uses} uses, {len(seen.tokens)} tokens, {len(seen.fresh)} without a cache, "
        f"{len(seen.fresh_failures)} of them failed, longest wait {seen.longest_gap(since):.1f} s, "
        "10 s of them on purpose"
    )
    assert seen.failures == []
    assert seen.refused == []
    assert len(seen.tokens) > len(site.agents)
    assert seen.longest_gap(since) < 20


def test_a_planned_change_of_the_primary_needs_no_restore(both: Pair, folder: Path) -> None:
    """Of an asynchronous standby: the servers are stopped first, and a primary that is stopped sends everything."""
    with deployment("postgresql", folder, both, servers=2, proxied=False, forks=True) as its:  # type: ignore[arg-type]
        agent = its.onboard("Agent", keyed=True)
        issued = [its.ask(port, agent) for port in its.servers]
        for server in its.servers.values():
            server.signal(signal.SIGTERM)
            server.process.wait(30)
        both.stop_primary()
        both.promote()
        for port in list(its.servers):
            its.start(port)
        assert all(its.ask(port, agent).status == 200 for port in its.servers)
        recorded = {event["jti"] for event in read_log(its) if event["kind"] == "token.issued"}
        assert {parse_compact(each.body["token"]).claims["jti"] for each in issued} <= recorded
        assert verify(its) == []
