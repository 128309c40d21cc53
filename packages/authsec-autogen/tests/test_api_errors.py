"""What a model is told when a tool's HTTP call is refused, for the exceptions of the common HTTP clients."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import requests
from authsec import AuthSecClient
from authsec_autogen import ToolError, register_function


def with_requests(url: str) -> None:
    requests.get(url, timeout=5).raise_for_status()


def with_httpx(url: str) -> None:
    httpx.get(url, timeout=5, trust_env=False).raise_for_status()


def with_urllib(url: str) -> None:
    try:
        urllib.request.urlopen(url, timeout=5)  # noqa: S310 - the loopback API of this test
    except urllib.error.HTTPError as error:
        error.close()
        raise


class ClientResponseError(Exception):
    """Shaped like aiohttp's: status and headers on the exception itself."""

    status = 403
    headers = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="customers:delete"'}  # noqa: RUF012 - nothing changes it


def like_aiohttp(url: str) -> None:
    raise ClientResponseError


def told(authsec: AuthSecClient, call: Callable[[], Any]) -> str:
    def tool(*, delegation_token: str) -> Any:
        """Call."""
        return call()

    agent = SimpleNamespace(register_for_llm=lambda **_: id, register_for_execution=lambda **_: id)
    with pytest.raises(ToolError) as caught:
        register_function(tool, caller=agent, executor=agent, authsec=authsec)()
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize("client", [with_requests, with_httpx, with_urllib, like_aiohttp])
def test_the_reason_is_read_from_the_challenge(client: Any, authsec: AuthSecClient, api: str) -> None:
    text = told(authsec, lambda: client(f"{api}/refuse/403"))
    assert text.startswith("The API answered 403 (insufficient_scope).")
    assert text.endswith("The call needs the action customers:delete.")
    assert api not in text


def test_a_401_drops_the_token(authsec: AuthSecClient, authority: Any, api: str) -> None:
    def refused(status: int) -> str:
        headers = {"Authorization": f"Bearer {authsec.get_delegation_token()}"}
        return told(
            authsec, lambda: requests.get(f"{api}/refuse/{status}", headers=headers, timeout=5).raise_for_status()
        )

    assert refused(401).endswith("The next call will use a new token.")
    refused(403)
    refused(403)
    assert len(authority.tokens) == 2


@pytest.mark.parametrize(
    ("header", "status", "text"),
    [
        (None, 404, "The API answered 404 (Not Found)."),
        ('Basic realm="x"', 403, "The API answered 403 (Forbidden)."),
        ('Bearer error="a\\"b"', 403, 'The API answered 403 (a"b).'),
        ('Bearer error_description="line\x1b[31m\u202eend"', 599, "The API answered 599 (failure). line [31m end."),
    ],
)
def test_what_is_not_said_or_not_plain_is_left_out(
    header: str | None, status: int, text: str, authsec: AuthSecClient
) -> None:
    class Refused(Exception):
        response = SimpleNamespace(status_code=status, headers={"WWW-Authenticate": header} if header else {})

    def call() -> None:
        raise Refused("http://crm.example.com/customers?api_key=s3cret")

    assert told(authsec, call) == text


@pytest.mark.parametrize("answer", [SimpleNamespace(), SimpleNamespace(status_code="403"), SimpleNamespace(status=200)])
def test_an_exception_that_is_no_refusal_keeps_its_own_words(answer: Any, authsec: AuthSecClient) -> None:
    class Odd(Exception):
        response = answer

    def call() -> None:
        raise Odd("no\nsuch customer " + "x" * 1000)

    text = told(authsec, call)
    assert text.startswith("Odd: no such customer xxx")
    assert len(text) < 320


def test_a_refused_connection_is_told_plainly(authsec: AuthSecClient) -> None:
    def call() -> None:
        raise http.client.RemoteDisconnected("gone")

    assert told(authsec, call) == "RemoteDisconnected: gone"
