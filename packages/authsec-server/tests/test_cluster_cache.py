"""What is kept of a cluster's answers: for so long, by one asker at a time, and never a no."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from authsec_server.attestation.cluster import ClusterCache


class Cluster:
    """Answers by number, and can be held up."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: str | None = "yes"
        self.open = threading.Event()
        self.open.set()

    def ask(self) -> str | None:
        self.asked += 1
        assert self.open.wait(10)
        if self.answer == "broken":
            raise ConnectionError
        return self.answer


def test_many_who_ask_at_once_hear_what_one_has_asked() -> None:
    cluster, now = Cluster(), 0.0
    kept: ClusterCache[str, str] = ClusterCache(30, lambda: now)
    cluster.open.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(kept.get, "token", cluster.ask) for _ in range(8)]
        while not cluster.asked:
            pass
        cluster.open.set()
        assert {each.result(10) for each in waiting} == {"yes"}
    assert cluster.asked == 1


def test_it_counts_from_when_it_was_asked_for() -> None:
    cluster, now = Cluster(), [0.0]
    kept: ClusterCache[str, str] = ClusterCache(30, lambda: now[0])

    def slowly() -> str | None:
        now[0] += 5
        return cluster.ask()

    assert kept.get("token", slowly) == "yes"
    now[0] = 29.9
    assert kept.get("token", cluster.ask) == "yes"
    assert cluster.asked == 1
    now[0] = 30.0
    assert kept.get("token", cluster.ask) == "yes"
    assert cluster.asked == 2


def test_no_failure_and_no_no_is_kept_and_the_next_may_ask() -> None:
    cluster = Cluster()
    kept: ClusterCache[str, str] = ClusterCache(30, lambda: 0.0)
    cluster.answer = "broken"
    for _ in range(2):
        with pytest.raises(ConnectionError):
            kept.get("token", cluster.ask)
    cluster.answer = None
    assert [kept.get("token", cluster.ask) for _ in range(2)] == [None, None]
    assert cluster.asked == 4


def test_a_no_ends_what_was_kept_and_others_are_others() -> None:
    cluster, now = Cluster(), [0.0]
    kept: ClusterCache[str, str] = ClusterCache(30, lambda: now[0], at_most=2)
    for key in ("a", "b", "c"):
        kept.get(key, cluster.ask)
    assert cluster.asked == 3
    kept.get("a", cluster.ask)
    assert cluster.asked == 4, "the oldest made room"
    never: ClusterCache[str, str] = ClusterCache(0, lambda: now[0])
    for _ in range(2):
        never.get("a", cluster.ask)
    assert cluster.asked == 6
