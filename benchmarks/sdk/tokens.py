"""What a token costs an agent: the first one of many callers, one from the cache, and the requests over a token's life.

    uv run --no-sync python -m benchmarks.sdk.tokens

An authority is started on throwaway data, and an agent with a key pair asks it. What is counted in requests is what the
authority was asked for a token; lives are lived through on a clock that is moved, so an hour takes no hour. Times are
of the wall for what waits for an answer, and of this thread's processor for what is in the cache.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from authsec import AuthSecClient, AuthSecConfig, AuthSecError
from authsec.clock import Clock
from authsec.credentials import Proof, ProofRequest
from authsec.credentials.key_file import KeyFile
from authsec_demo.authority import Authority

from benchmarks.agent import LIFE, Agent, agent_of_an_authority

THREADS, LOOPS, CALLERS = 50, 3, 200
CALLS = 20_000  # of one round from the cache


@dataclass
class Time:
    """A clock on which `passed` seconds more have gone by. The time of day stays, or no proof would be accepted."""

    passed: float = 0.0
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(monotonic=lambda: time.monotonic() + self.passed, sleep=lambda _: None)


@dataclass
class Proving:
    """The agent's key. Each token request, and each further try, takes a proof: `asked` has them all."""

    key: KeyFile
    asked: list[ProofRequest] | None

    def proof(self, request: ProofRequest) -> Proof | None:
        if self.asked is not None:
            self.asked.append(request)
        return self.key.proof(request)

    def looked_at(self, request: ProofRequest) -> str:
        return self.key.looked_at(request)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    logging.getLogger("authsec").setLevel(logging.CRITICAL)  # of the authority that is away, which is meant
    with agent_of_an_authority() as (authority, agent):
        make = _making(agent)
        _said("first token: one caller", _milliseconds(lambda: [make().get_token()], make, rounds))
        _said(f"first token: {CALLERS} callers", _milliseconds(lambda: _many(make()), make, rounds))
        _counted(f"{CALLERS} callers, {THREADS} threads, {LOOPS} event loops", lambda one, _: _many(one), make)
        _counted("30 callers whose token an API refuses at once", _refused, make)
        _counted(f"1,000 calls over the {LIFE} s of a token, and 300 s more", _lived_through, make)
        for name, take in _from_the_cache(make()).items():
            _said(f"from the cache: {name}", [_microseconds(take) for _ in range(rounds)], unit="µs")
        _said("an authority that says nothing, timeout 1 s", [_hung() for _ in range(3)])
        _counted("300 calls in the last 300 s of a token, authority away", _ridden_out(authority), make)


def _making(agent: Agent) -> Callable[..., AuthSecClient]:
    """What makes clients of it."""

    def make(clock: Clock | None = None, asked: list[ProofRequest] | None = None) -> AuthSecClient:
        return AuthSecClient(agent.config, credential=Proving(agent.key, asked), clock=clock)

    return make


# --- many callers ------------------------------------------------------------------------------------------------


def _many(client: AuthSecClient) -> list[Any]:
    """A token for each of 200 callers that come at once: one in each thread, the others in the event loops."""
    each = (CALLERS - THREADS) // LOOPS
    everybody = threading.Barrier(THREADS + LOOPS)

    def in_thread() -> list[Any]:
        everybody.wait()
        return [client.get_token()]

    def in_loop() -> list[Any]:
        async def several() -> list[Any]:
            return await asyncio.gather(*(client.aget_token() for _ in range(each)))

        everybody.wait()
        return asyncio.run(several())

    with ThreadPoolExecutor(THREADS + LOOPS) as pool:
        work = [pool.submit(one) for one in [in_thread] * THREADS + [in_loop] * LOOPS]
        got = [token for one in work for token in one.result()]
    assert len(got) == CALLERS
    assert len(set(map(id, got))) == 1
    return got


def _refused(client: AuthSecClient, _: Time) -> None:
    token = client.get_token()
    everybody = threading.Barrier(30)

    def hears_401() -> Any:
        everybody.wait()
        client.invalidate(token)
        return client.get_token()

    with ThreadPoolExecutor(30) as pool:
        got = [one.result() for one in [pool.submit(hears_401) for _ in range(30)]]
    assert all(another is not token for another in got)


# --- over a life -------------------------------------------------------------------------------------------------


def _lived_through(client: AuthSecClient, moved: Time) -> None:
    for _ in range(1000):
        client.get_token()
        _settle()
        moved.passed += (LIFE + 300) / 1000


def _ridden_out(authority: Authority) -> Callable[[AuthSecClient, Time], None]:
    def calls(client: AuthSecClient, moved: Time) -> None:
        first = client.get_token()
        authority.stop()
        moved.passed += LIFE - 300
        for _ in range(300):
            assert client.get_token() is first
            _settle()
            moved.passed += 0.99

    return calls


def _settle() -> None:
    for thread in threading.enumerate():
        if thread.name == "authsec-token":
            thread.join()


# --- from the cache ----------------------------------------------------------------------------------------------


def _from_the_cache(client: AuthSecClient) -> dict[str, Callable[[], object]]:
    """What is called `CALLS` times in a round."""

    @client.delegated(scope="customers:read")
    def tool(customer_id: str, *, delegation_token: str) -> str:
        return customer_id or delegation_token

    def repeated(call: Callable[[], object]) -> Callable[[], object]:
        return lambda: [call() for _ in range(CALLS)]

    async def asynchronous() -> None:
        for _ in range(CALLS):
            await client.aget_token()

    client.get_token(scope="customers:read")
    return {
        "get_token()": repeated(client.get_token),
        "get_token(scope=…)": repeated(lambda: client.get_token("customers:read")),
        "await aget_token()": lambda: asyncio.run(asynchronous()),
        "a tool decorated with delegated": repeated(lambda: tool("42")),
    }


def _hung() -> float:
    """Milliseconds until a caller is told that nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = AuthSecConfig(
            base_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88",
            timeout=1,
        )
        began = time.perf_counter()
        with contextlib.suppress(AuthSecError):  # the server is silent: how long that takes is measured
            AuthSecClient(config).get_token()
        return (time.perf_counter() - began) * 1000


# --- measuring ---------------------------------------------------------------------------------------------------


def _milliseconds(call: Callable[[], object], make: Callable[[], AuthSecClient], rounds: int) -> list[float]:
    make().get_token()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def _microseconds(take: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    take()
    return (time.thread_time_ns() - began) / 1000 / CALLS


def _counted(name: str, work: Callable[[AuthSecClient, Time], object], make: Callable[..., AuthSecClient]) -> None:
    """How many tokens the authority was asked for."""
    moved = Time()
    asked: list[ProofRequest] = []
    work(make(moved.clock, asked), moved)
    print(f"{len(asked):8d} requests   {name}")


def _said(name: str, taken: list[float], unit: str = "ms") -> None:
    print(f"{min(taken):8.2f} {unit}   median {median(taken):8.2f} {unit}   {name}")


if __name__ == "__main__":
    main()
