"""Servers of the demonstration end when they should, and no proxy comes between them."""

from __future__ import annotations

import httpx2
import pytest
import requests
from authsec_demo.loopback import bypass_proxies, free_port, serving
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

APP = Starlette(routes=[Route("/", PlainTextResponse("here"))])


def test_a_server_is_there_exactly_as_long_as_its_block() -> None:
    with serving(APP) as url:
        assert httpx2.get(url, trust_env=False).text == "here"
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url, trust_env=False)


def test_a_proxy_of_the_environment_does_not_get_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    with serving(APP) as url:
        with pytest.raises(requests.exceptions.ProxyError):
            requests.get(url, timeout=5)
        bypass_proxies()
        assert requests.get(url, timeout=5).text == "here"


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_what_was_to_bypass_the_proxy_still_does(name: str) -> None:
    environment = {name: "internal.example.com"}
    bypass_proxies(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "internal.example.com,127.0.0.1,localhost"
