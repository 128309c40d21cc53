"""A thief who sees a request sends the same request again, with the same token and the same proof.

The proof is valid for a minute, so each process remembers the proofs that it has accepted. A flood of proofs must
neither fill the memory nor make the process forget. A clock that is set back must not make old proofs new.
"""

from __future__ import annotations

import os
import signal
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from authsec.errors import InvalidToken, VerificationUnavailable
from authsec.jose.dpop import WINDOW_SECONDS, DpopProof
from authsec.verifier import DpopRequest
from authsec.verifier.replay_store import MOST_PROOFS, ReplayStore
from hypothesis import given
from hypothesis import strategies as st

from ..bound_requests import DOORS, PATH, Holder, Outcome, by_dpop, dpop_verifier
from ..fake_keys import NOW, FakeClock


def used(number: int, at: int = NOW, thumbprint: str = "t") -> DpopProof:
    return DpopProof(thumbprint=thumbprint, jti=str(number), issued_at=at)


@pytest.mark.parametrize("door", DOORS)
def test_each_proof_is_accepted_once(door: str) -> None:
    holder = Holder()
    bound = holder.token()
    sent = by_dpop(bound, holder.proof(bound))
    first, again, fresh = DOORS[door](dpop_verifier(), [sent, sent, holder.sent()])
    assert (first, fresh) == (Outcome(200), Outcome(200))
    assert (again.status, again.reason) == (401, "dpop_proof_replayed")
    assert "invalid_dpop_proof" in again.challenge


def test_a_proof_is_not_used_up_by_a_request_that_is_refused() -> None:
    holder = Holder()
    bound = holder.token()
    proof = holder.proof(bound)
    outcomes = DOORS["asgi"](dpop_verifier(), [by_dpop(bound, proof, method="POST"), by_dpop(bound, proof)])
    assert [outcome.status for outcome in outcomes] == [401, 200]


def test_of_many_threads_one_is_let_in() -> None:
    holder, verifier = Holder(), dpop_verifier()
    bound = holder.token()
    request = DpopRequest(method="GET", path=PATH, proofs=[holder.proof(bound)])
    together = threading.Barrier(8)

    def attempt(_: int) -> str:
        together.wait(10)
        try:
            verifier.verify(bound, request)
        except InvalidToken as error:
            return error.reason
        return "in"

    with ThreadPoolExecutor(8) as threads:
        found = sorted(threads.map(attempt, range(8)))
    assert found == ["dpop_proof_replayed"] * 7 + ["in"]


def test_a_proof_is_remembered_for_as_long_as_it_is_valid() -> None:
    clock, holder = FakeClock(), Holder()
    verifier, bound = dpop_verifier(clock=clock.clock()), Holder.token(holder)
    request = DpopRequest(method="GET", path=PATH, proofs=[holder.proof(bound, now=NOW + WINDOW_SECONDS)])

    def reason() -> str:
        try:
            verifier.verify(bound, request)
        except InvalidToken as error:
            return error.reason
        return "in"

    assert reason() == "in"
    for _ in range(2 * WINDOW_SECONDS):
        assert reason() == "dpop_proof_replayed"
        clock.pass_by(1)
    assert reason() == "dpop_proof_replayed"
    clock.pass_by(1)
    assert reason() == "dpop_proof_invalid"  # its iat is too old


def test_a_clock_that_is_set_back_makes_no_proof_new() -> None:
    store = ReplayStore()
    assert store.add(used(1), NOW)
    assert store.add(used(2, NOW + 61), NOW + 61)  # the first is dropped
    assert len(store) == 1
    assert not store.add(used(1), NOW + 30)
    assert store.add(used(3, NOW + 30), NOW + 30)


def test_an_older_proof_may_arrive_later() -> None:
    """Clocks of agents differ, and requests overtake each other."""
    store = ReplayStore()
    assert store.add(used(1, NOW), NOW)
    assert store.add(used(2, NOW - 30), NOW + 10)
    assert store.add(used(3, NOW + 50), NOW + 10)
    assert not store.add(used(2, NOW - 30), NOW + 20)


def test_a_flood_fills_a_bounded_store_and_no_more() -> None:
    store = ReplayStore(most=100)
    assert all(store.add(used(number), NOW) for number in range(100))
    for number in range(100, 400):
        with pytest.raises(VerificationUnavailable) as caught:
            store.add(used(number), NOW)
    assert (caught.value.reason, caught.value.status) == ("dpop_store_full", 503)
    assert caught.value.retry_after == WINDOW_SECONDS
    assert len(store) == 100
    assert not store.add(used(7), NOW)  # what was used stays used
    assert store.add(used(500, NOW + 61), NOW + 61)
    assert len(store) == 1


def test_a_full_store_is_an_outage_and_no_permission(caplog: pytest.LogCaptureFixture) -> None:
    holder, verifier = Holder(), dpop_verifier()
    assert verifier.binding is not None
    verifier.binding._used = ReplayStore(most=2)
    outcomes = DOORS["asgi"](verifier, [holder.sent() for _ in range(4)])
    assert [outcome.status for outcome in outcomes] == [200, 200, 503, 503]
    assert [record.message for record in caplog.records] == [
        "2 DPoP proofs were used within 60 s: no further one is accepted"
    ]


@pytest.mark.parametrize("share", [10, pytest.param(1, marks=pytest.mark.soak)])
def test_the_whole_store_takes_little_memory(share: int) -> None:
    """In short runs, a tenth of the store in a tenth of the memory."""
    store, proofs = ReplayStore(most=MOST_PROOFS // share), MOST_PROOFS // share
    tracemalloc.start()
    try:
        for number in range(proofs):
            store.add(used(number, NOW + number % 60), NOW)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(store) == proofs
    assert size < 40 * 2**20 / share


def test_proofs_that_never_come_twice_are_forgotten() -> None:
    store = ReplayStore()
    for second in range(1000):
        assert store.add(used(second, NOW + second), NOW + second)
        assert len(store) <= WINDOW_SECONDS + 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-70, 70)), max_size=60))
def test_whatever_the_clock_does_no_proof_is_accepted_twice(steps: list[tuple[int, int, int]]) -> None:
    """`steps` are a proof's number, its `iat`, and by how much the clock then moves."""
    store, now = ReplayStore(), NOW
    accepted = set()
    for number, minute, moved in steps:
        proof = used(number, NOW + 30 * minute)
        if abs(now - proof.issued_at) <= WINDOW_SECONDS and store.add(proof, now):
            assert proof not in accepted
            accepted.add(proof)
        now += moved


def test_a_forked_worker_does_not_wait_for_a_lock_of_its_parent() -> None:
    store = ReplayStore()
    store._lock.acquire()
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends a child that waits
        os._exit(0 if store.add(used(1), NOW) else 1)
    store._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
