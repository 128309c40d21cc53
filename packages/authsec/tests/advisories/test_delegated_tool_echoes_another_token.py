"""A tool that gives away a token other than the one that it was given.

It calls its API by `requests_auth`, which takes tokens itself and another after a 401, or asks for one with other
actions, by another client, in a thread of its own, later than it returns. What the API echoes is no less a token then.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from authsec import AuthSecClient, ToolError
from authsec.clock import Clock
from authsec.redaction import redacted

from ..fake_api import FakeApi, serving_api

REMOVED = "[delegation token removed]"
DELETE = "customers:delete"


def by_get_token(client: AuthSecClient, _: FakeApi) -> Any:
    return f"sent {client.get_token(DELETE).value}"


def the_object_itself(client: AuthSecClient, _: FakeApi) -> Any:
    return client.get_token(DELETE), REMOVED


def by_requests_auth(client: AuthSecClient, api: FakeApi) -> Any:
    auth = client.requests_auth(allowed_origins=api.url, scope=DELETE)
    return dict(requests.get(api.url, auth=auth, timeout=5).request.headers)


def after_a_401(client: AuthSecClient, api: FakeApi) -> Any:
    refused = client.get_token(DELETE).value
    api.good = lambda token: token != refused
    return by_requests_auth(client, api)


def by_another_client(client: AuthSecClient, _: FakeApi) -> Any:
    """Which nobody has any more when the result is searched."""
    return f"sent {AuthSecClient(client.config).get_token().value}"


def in_a_thread(client: AuthSecClient, _: FakeApi) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return [pool.submit(lambda: json.dumps({"sent": client.get_token(DELETE).value})).result()]


def in_a_tool_of_the_tool(client: AuthSecClient, api: FakeApi) -> Any:
    @client.delegated(scope=DELETE)
    def fetch(*, delegation_token: str) -> str:
        response = requests.get(api.url, headers={"Authorization": f"Bearer {delegation_token}"}, timeout=5)
        response.status_code = 500
        response.raise_for_status()
        return ""

    with pytest.raises(requests.HTTPError) as caught:
        fetch()
    assert caught.value.request is not None
    return dict(caught.value.request.headers)


def later(client: AuthSecClient, _: FakeApi) -> Any:
    return (client.get_token(DELETE).value for _ in range(1))


ways = pytest.mark.parametrize(
    "way",
    [
        by_get_token,
        the_object_itself,
        by_requests_auth,
        after_a_401,
        by_another_client,
        in_a_thread,
        in_a_tool_of_the_tool,
        later,
    ],
)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with serving_api() as running:
        yield running


@ways
@pytest.mark.parametrize("is_async", [False, True])
def test_what_it_returns_holds_none(
    way: Callable[..., Any], is_async: bool, client: AuthSecClient, api: FakeApi, authority: Any
) -> None:
    @client.delegated(scope="customers:read")
    def fetch(*, delegation_token: str) -> Any:
        return way(client, api)

    @client.delegated(scope="customers:read")
    async def fetch_async(*, delegation_token: str) -> Any:
        return way(client, api)

    got = asyncio.run(fetch_async()) if is_async else fetch()
    told = repr([*got] if isinstance(got, Iterator) else got)
    assert REMOVED in told
    assert len(authority.tokens) > 1
    assert not any(token in told for token in authority.tokens)


@ways
def test_what_it_raises_holds_none(
    way: Callable[..., Any], client: AuthSecClient, api: FakeApi, authority: Any
) -> None:
    @client.delegated(on_denied="tell_model")
    def fetch(*, delegation_token: str) -> None:
        got = way(client, api)
        raise LookupError(*got if isinstance(got, Iterator) else [got])

    with pytest.raises(ToolError) as caught:
        fetch()
    assert not any(token in repr(caught.value) for token in authority.tokens)


def test_the_token_at_hand_stays_good(client: AuthSecClient) -> None:
    """What is given out is made anew without it. The client's own is not touched."""

    @client.delegated
    def fetch(*, delegation_token: str) -> Any:
        return client.get_token()

    fetch()
    assert client.get_token().value != REMOVED


def test_one_that_is_over_makes_room(make_client: Any, authority: Any) -> None:
    """Of a program that runs for long, not all that it ever had is looked for."""
    now = 0.0
    client = make_client(clock=Clock(monotonic=lambda: now))
    first = client.get_token().value
    assert redacted((), f"{first}") == REMOVED
    now = authority.life + 61.0
    client.get_token()
    assert redacted((), f"{first}") == first
