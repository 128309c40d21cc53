"""The address of `/metrics`: one page, and no client that keeps others away."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest
from authsec_server.cli import metrics_listener
from authsec_server.cli.metrics_listener import AT_ONCE, metrics_served
from authsec_server.failures import StartupRefused
from authsec_server.metrics.catalogue import PROCESS
from authsec_server.metrics.collector import ServerCollector
from free_ports import free_port

SECONDS = 0.3


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> str:
    if request.param == "::1":
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6")
    return str(request.param)


@pytest.fixture
def address(host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(metrics_listener, "SECONDS", SECONDS)
    port = free_port()
    with metrics_served(host, port, ServerCollector([PROCESS.memory], now=lambda: 0)):
        yield host, port


def get(address: tuple[str, int], path: str, method: str = "GET") -> httpx2.Response:
    host, port = address
    return httpx2.request(method, f"http://[{host}]:{port}{path}".replace("[127.0.0.1]", "127.0.0.1"), trust_env=False)


def test_the_page_is_at_metrics_and_nothing_else_is_there(address: tuple[str, int]) -> None:
    page = get(address, "/metrics?x=1")
    assert page.status_code == 200
    assert "# TYPE authsec_ready gauge" in page.text
    assert get(address, "/").status_code == 404
    assert get(address, "/metrics", "POST").status_code == 501
    assert "Python" not in page.headers["server"]


@pytest.mark.parametrize("host", ["127.0.0.1"])
@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: "])
def test_slow_clients_lose_their_connection(address: tuple[str, int], sent: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(AT_ONCE):
            connection = stack.enter_context(socket.create_connection(address))
            connection.sendall(sent)
        until = time.monotonic() + 10
        while True:
            try:
                assert get(address, "/metrics").status_code == 200
                break
            except httpx2.TransportError:  # all connections are taken
                assert time.monotonic() < until


def test_a_host_that_is_not_of_this_machine() -> None:
    collector = ServerCollector([PROCESS.memory], now=lambda: 0)
    with pytest.raises(StartupRefused, match="metrics port") as refused, metrics_served("192.0.2.1", 1, collector):
        pass
    assert "--metrics-host" in refused.value.remedy
