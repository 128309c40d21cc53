"""`AuthSecClient` as its users hold it: sync and async, copied, pickled, forked, printed."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import pytest
from authsec import AuthSecClient, AuthSecError, DelegationDenied, DelegationToken, KeyFile
from authsec.clock import Clock
from fake_authority import CLIENT_ID, REVOKE_PATH, gate, refused

Make = Callable[..., AuthSecClient]


def wait_for_a_request(authority: Any) -> None:
    while not authority.seen:
        time.sleep(0.001)


def test_the_network_is_used_on_the_first_call_only(client: AuthSecClient, authority: Any) -> None:
    first = client.get_delegation_token()
    assert [client.get_delegation_token() for _ in range(100)] == [first] * 100
    assert len(authority.seen) == 1
    assert client.authority.transport.requests_sent == 1


@pytest.mark.parametrize("off_by", [-3600, 3600])
def test_a_clock_that_is_wrong_by_an_hour_costs_no_request(off_by: float, make_client: Make, authority: Any) -> None:
    """What a token has left is counted from `expires_in`, not read from the time of day at which it ends."""
    passed = [0.0]
    client = make_client(clock=Clock(monotonic=lambda: 1000 + passed[0], wall=lambda: time.time() + off_by + passed[0]))
    first = client.get_delegation_token()
    passed[0] = 3200
    assert client.get_delegation_token() == first
    passed[0] = 3600
    assert client.get_delegation_token() == authority.tokens[1]
    assert len(authority.tokens) == 2


def test_coroutines_share_the_cache_of_threads(client: AuthSecClient, authority: Any) -> None:
    token = client.get_delegation_token()
    assert asyncio.run(client.aget_delegation_token()) == token
    assert asyncio.run(client.aget_token()).value == token
    assert len(authority.seen) == 1


def test_a_token_says_what_the_authority_says_about_it(client: AuthSecClient) -> None:
    token = client.get_token(scope="customers:read")
    assert isinstance(token, DelegationToken)
    assert (token.expires_in, token.permissions, token.audience) == (3600, ("customers:read",), ("authsec-api",))
    assert token.spiffe_id == f"spiffe://example.org/agent/{CLIENT_ID}"


def test_each_scope_and_resource_has_a_token_of_its_own(client: AuthSecClient, authority: Any) -> None:
    wanted: list[tuple[Any, Any]] = [(None, None), ("a:r", None), ("a:w", None), (None, "crm"), ("a:r", "crm")]
    tokens = [client.get_token(scope, resource).value for scope, resource in wanted]
    assert len(set(tokens)) == 5
    assert [client.get_token(scope, resource).value for scope, resource in wanted] == tokens
    assert client.get_token(["a:r", "a:r"]).value == tokens[1]
    assert len(authority.seen) == 5


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_token_is_ended_and_forgotten(client: AuthSecClient, authority: Any, asynchronous: bool) -> None:
    token = client.get_token()
    if asynchronous:
        asyncio.run(client.arevoke_token(token))
    else:
        client.revoke_token(token.value)
    asked = authority.seen[-1]
    assert (asked.path, asked.query) == (REVOKE_PATH, {}), "a token stands in no address"
    assert parse_qs(asked.body.decode()) == {"token": [token.value]}
    assert "Authorization" not in asked.headers
    assert client.get_token().value != token.value


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(refused(429, "rate_limited", Retry_After="3"), "rate_limited"), (refused(503, "unavailable"), "unavailable")],
)
def test_a_token_that_may_not_have_ended_is_forgotten_all_the_same(
    client: AuthSecClient, authority: Any, answer: Any, reason: str
) -> None:
    token = client.get_token()
    authority.next_answers.append(answer)
    with pytest.raises(AuthSecError) as failed:
        client.revoke_token(token)
    assert (failed.value.reason, failed.value.retryable) == (reason, True)
    assert token.value not in str(failed.value)
    assert client.get_token().value != token.value


def test_force_refresh_asks_although_there_is_a_token(client: AuthSecClient, authority: Any) -> None:
    old = client.get_delegation_token()
    new = client.get_token(force_refresh=True).value
    assert new != old
    assert client.get_delegation_token() == new


def test_invalidate_drops_exactly_the_rejected_token(client: AuthSecClient, authority: Any) -> None:
    old, other = client.get_token(), client.get_token(scope="a:r")
    client.invalidate(old)
    new = client.get_token()
    client.invalidate(old.value)  # a second caller, whose request with the old token was rejected, too
    assert client.get_token() is new
    assert client.get_token(scope="a:r") is other
    assert len(authority.seen) == 3


def test_200_callers_in_50_threads_and_3_event_loops_cause_one_request(client: AuthSecClient, authority: Any) -> None:
    opened = threading.Event()
    authority.next_answers = [gate(authority, opened)]
    everybody = threading.Barrier(54)

    def in_thread() -> list[str]:
        everybody.wait()
        return [client.get_delegation_token()]

    def in_loop() -> list[str]:
        async def several() -> list[str]:
            return await asyncio.gather(*(client.aget_delegation_token() for _ in range(50)))

        everybody.wait()
        return asyncio.run(several())

    with ThreadPoolExecutor(53) as pool:
        waiting = [pool.submit(work) for work in [in_thread] * 50 + [in_loop] * 3]
        everybody.wait()
        opened.set()
        got = [token for future in waiting for token in future.result(10)]
    assert len(got) == 200
    assert set(got) == set(authority.tokens)
    assert len(authority.seen) == 1


def test_an_event_loop_goes_on_while_a_coroutine_waits(client: AuthSecClient, authority: Any) -> None:
    opened = threading.Event()
    authority.next_answers = [gate(authority, opened)]

    async def main() -> str:
        waiting = asyncio.create_task(client.aget_delegation_token())
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert not waiting.done()
        opened.set()
        return await waiting

    assert asyncio.run(main()) in authority.tokens


def test_a_cancelled_coroutine_takes_nothing_from_the_others(client: AuthSecClient, authority: Any) -> None:
    opened = threading.Event()
    authority.next_answers = [gate(authority, opened)]

    async def main() -> str:
        impatient = asyncio.create_task(client.aget_delegation_token())
        patient = asyncio.create_task(client.aget_delegation_token())
        await asyncio.sleep(0.05)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        opened.set()
        return await patient

    assert asyncio.run(main()) in authority.tokens
    assert len(authority.seen) == 1


def test_a_loop_that_ends_while_a_request_is_on_its_way_harms_nobody(client: AuthSecClient, authority: Any) -> None:
    opened = threading.Event()
    authority.next_answers = [gate(authority, opened)]

    async def gives_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.aget_delegation_token(), 0.05)

    asyncio.run(gives_up())
    opened.set()
    assert client.get_delegation_token() in authority.tokens
    assert len(authority.seen) == 1


def test_everybody_who_waits_gets_an_error_of_their_own(client: AuthSecClient, authority: Any) -> None:
    opened = threading.Event()
    authority.next_answers = [gate(authority, opened, refused(403, "client_disabled"))]
    everybody = threading.Barrier(9)

    def ask() -> AuthSecError:
        everybody.wait()
        with pytest.raises(DelegationDenied) as caught:
            client.get_delegation_token()
        return caught.value

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(ask) for _ in range(8)]
        everybody.wait()
        time.sleep(0.1)  # for the eight to be waiting
        opened.set()
        errors = [future.result(10) for future in waiting]
    assert len({id(error) for error in errors}) == 8
    assert {error.reason for error in errors} == {"client_disabled"}
    assert len(authority.seen) == 1


def test_the_interpreter_ends_although_a_request_hangs(authority: Any) -> None:
    """The background renewal of a program that is done must not keep it alive."""
    program = f"""
        import threading
        from authsec import AuthSecClient
        client = AuthSecClient(base_url={authority.base_url!r}, client_id={CLIENT_ID!r})
        threading.Thread(target=client.get_delegation_token, daemon=True).start()
        while not client.authority.transport.requests_sent: pass
    """
    authority.next_answers = [gate(authority, threading.Event())]
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(program)], check=True, timeout=8)


# --- copies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda client: pickle.loads(pickle.dumps(client))])  # noqa: S301 - of its own making
def test_a_copy_has_the_settings_and_no_token(copied: Any, make_client: Make, authority: Any) -> None:
    client = make_client(credential=KeyFile("/k.pem"), issuer="https://i.example", timeout=7)
    twin = copied(client)
    assert (twin.config, twin._credential) == (client.config, client._credential)
    client = make_client()
    token = client.get_delegation_token()
    assert copied(client).get_delegation_token() != token
    assert len(authority.seen) == 2


def test_a_pickled_client_holds_no_token(client: AuthSecClient) -> None:
    token = client.get_delegation_token()
    assert token.encode() not in pickle.dumps(client)


def test_a_client_can_be_copied_while_a_request_is_on_its_way(client: AuthSecClient, authority: Any) -> None:
    opened = threading.Event()
    authority.next_answers = [gate(authority, opened)]
    waiting = threading.Thread(target=client.get_delegation_token)
    waiting.start()
    wait_for_a_request(authority)
    assert copy.deepcopy({"hooks": [client]})["hooks"][0].get_delegation_token() in authority.tokens
    opened.set()
    waiting.join()


def test_a_client_shows_where_and_who_and_no_token(client: AuthSecClient, authority: Any) -> None:
    client.get_delegation_token()
    assert repr(client) == f"AuthSecClient(base_url={authority.base_url!r}, client_id={CLIENT_ID!r})"


# --- forks -------------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], str]) -> str:
    """What `work` returns in a forked child; the child is ended if it takes longer than ten seconds."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(sender, work().encode())
        finally:
            os._exit(0)
    os.close(sender)
    deadline = threading.Timer(10, os.kill, (child, 9))
    deadline.start()
    with os.fdopen(receiver) as stream:
        result = stream.read()
    os.waitpid(child, 0)
    deadline.cancel()
    return result


forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@forks
def test_a_child_uses_the_token_of_its_parent(client: AuthSecClient, authority: Any) -> None:
    token = client.get_delegation_token()
    assert in_child(client.get_delegation_token) == token
    assert len(authority.seen) == 1


@forks
def test_a_fork_while_a_request_is_on_its_way(client: AuthSecClient, authority: Any) -> None:
    """The thread that fetches is not in the child, so the child must not wait for it."""
    opened = threading.Event()
    authority.next_answers = [gate(authority, opened)]
    waiting = threading.Thread(target=client.get_delegation_token)
    waiting.start()
    wait_for_a_request(authority)
    assert in_child(client.get_delegation_token) == authority.tokens[0]
    opened.set()
    waiting.join()
    assert len(authority.tokens) == 2


@forks
def test_a_fork_while_the_lock_is_held(client: AuthSecClient, authority: Any) -> None:
    """The thread that holds it is not in the child, so nobody there would ever let it go."""
    token = client.get_delegation_token()
    with client._cache._lock:
        assert in_child(client.get_delegation_token) == token
