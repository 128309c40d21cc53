"""The line to an API server: a slow or dead one costs few threads, and those who wait are told soon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from authsec_server.issuers.cluster_client import AT_ONCE, QUIET_SECONDS, ClusterApis
from authsec_server.issuers.model import Lookup, LookupState, LookupUnavailable
from authsec_server.outbound import Answer, FailureReason, OutboundFailed
from workload_evidence import NOW, kubernetes

TRUSTED_ISSUER = replace(
    kubernetes().trusted_issuer,
    api_server="https://10.0.0.1",
    credentials="token",
    token_review=True,
    pod_lookup=True,
)
POD = b'{"kind": "Pod"}'


class ApiServer:
    """Stands in for the door to one that can hang, and be out of reach."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.dead = False
        self.calls = 0
        self._lock = threading.Lock()

    def get(self, url: str, **_: Any) -> Answer:
        with self._lock:
            self.calls += 1
        assert self.open.wait(20)
        if self.dead:
            raise OutboundFailed(FailureReason.UNREACHABLE, "nothing answers at https://10.0.0.1")
        return Answer(source=url, status=200, headers={"content-type": "application/json"}, body=POD)


class Asker:
    """Asks for pods, with a clock that can be moved."""

    def __init__(self, folder: Path, server: ApiServer) -> None:
        self.server = server
        self.at = 0.0
        door: Any = server
        self.apis = ClusterApis(door, credentials_dir=folder, now=lambda: NOW, monotonic=lambda: self.at)

    def pod(self, name: str = "a") -> str:
        try:
            return str(self.apis.pod(TRUSTED_ISSUER, "ns", name, lambda found: "found" if found else "none"))
        except LookupUnavailable as error:
            return error.sentence


@pytest.fixture
def asker(tmp_path: Path) -> Iterator[Asker]:
    (tmp_path / "token").write_text("t")
    made = Asker(tmp_path, ApiServer())
    yield made
    made.server.open.set()


def wait_for(condition: Callable[[], bool]) -> None:
    ended = threading.Event()
    while not condition():
        assert not ended.wait(0.001)


def test_a_cluster_that_hangs_takes_few_threads(asker: Asker) -> None:
    server = asker.server
    server.open.clear()
    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        held = [pool.submit(asker.pod, str(number)) for number in range(AT_ONCE)]
        wait_for(lambda: server.calls == AT_ONCE)
        assert "the maximum number of concurrent requests" in asker.pod("one more")
        server.open.set()
        assert {each.result(10) for each in held} == {"found"}
    assert server.calls == AT_ONCE


def test_a_cluster_that_is_dead_is_tried_by_one_at_a_time(asker: Asker) -> None:
    server = asker.server
    server.dead = True
    assert "nothing answers" in asker.pod()
    assert "nothing answers" in asker.pod()
    assert server.calls == 1, "for a moment nobody is sent there"
    seen = asker.apis.check(TRUSTED_ISSUER)
    assert server.calls == 1
    assert all("nothing answers" in state.failure for state in seen.values()), "of both questions it is said"
    asker.at += QUIET_SECONDS
    server.open.clear()
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(asker.pod)
        wait_for(lambda: server.calls == 2)
        assert "nothing answers" in asker.pod(), "the others do not wait"
        server.dead = False
        server.open.set()
        assert probe.result(10) == "found"
    assert asker.pod() == "found"
    assert asker.apis.state(TRUSTED_ISSUER)[Lookup.POD_LOOKUP] == LookupState(answered_at=NOW)


def test_names_stay_parts_of_the_path(asker: Asker) -> None:
    asked: list[str] = []
    answer = asker.server.get
    asker.server.get = lambda url, **more: (asked.append(url), answer(url, **more))[1]  # type: ignore[method-assign] # to see it
    asker.pod("../../secrets/x?y#z%2f")
    assert asked == ["https://10.0.0.1/api/v1/namespaces/ns/pods/..%2F..%2Fsecrets%2Fx%3Fy%23z%252f"]


def test_of_an_older_revision_nothing_is_asked(asker: Asker) -> None:
    newer = replace(TRUSTED_ISSUER, revision=2)
    assert asker.apis.pod(newer, "ns", "a", lambda _: "found") == "found"
    assert "was changed while" in asker.pod()
