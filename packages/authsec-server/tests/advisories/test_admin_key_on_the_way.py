"""The command line is lured into handing the admin key to somebody else: by a redirect, by plain http, by a proxy that
the environment names, or by a name that is not the server's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import click
import pytest
from authsec_server.cli import register
from click.testing import CliRunner, Result

KEY = "authsec_" + "A" * 43


class Server(ThreadingHTTPServer):
    """Answers everything with one status, and remembers that it was asked at all."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status, self.headers = status, headers
        self.asked = 0
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(self.server.status)
        for name, value in {"Content-Length": "0", **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()

    do_CONNECT = do_POST = do_GET  # noqa: N815 - the names by which the class is called

    def log_message(self, *_: object) -> None:
        """No line on stderr for each request."""


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers: `start(302, Location=…)`."""
    servers: list[Server] = []

    def begin(status: int, **headers: str) -> Server:
        servers.append(Server(status, **headers))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,)).start()
        return servers[-1]

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def authsec(*arguments: str, **environment: str) -> Result:
    group = click.Group()
    register(group)
    none = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "AUTHSEC_ALLOW_HTTP_HOSTS"))
    result = CliRunner().invoke(group, arguments, env={**none, "AUTHSEC_ADMIN_KEY": KEY, **environment})
    assert result.exit_code in {1, 5}, result.output
    assert KEY not in result.output
    return result


def test_no_redirect_is_followed(start: Callable[..., Server]) -> None:
    thief = start(200)
    for status in (301, 302, 303, 307, 308):
        server = start(status, Location=f"{thief.url}/authsec/api/v1/keys")
        authsec("keys", "list", AUTHSEC_BASE_URL=server.url)
        authsec("keys", "rotate", AUTHSEC_BASE_URL=server.url)
        assert server.asked == 2
    assert thief.asked == 0


def test_nothing_goes_unencrypted_over_a_network(start: Callable[..., Server]) -> None:
    thief = start(200)
    for host in ("authsec.example.com", "127.0.0.1.nip.example", "localhost.example", "0.0.0.0", "10.0.0.1"):
        result = authsec("keys", "list", AUTHSEC_BASE_URL=f"http://{host}", HTTP_PROXY=thief.url)
        assert "would send the admin key unencrypted" in result.stderr
    assert thief.asked == 0


def test_a_proxy_sees_neither_loopback_nor_plain_http(start: Callable[..., Server]) -> None:
    server, thief = start(200), start(200)
    proxies = {"HTTP_PROXY": thief.url, "HTTPS_PROXY": thief.url, "ALL_PROXY": thief.url}
    authsec("keys", "list", AUTHSEC_BASE_URL=server.url, **proxies)
    assert server.asked == 1
    allowed = {"AUTHSEC_BASE_URL": "http://nobody.invalid", "AUTHSEC_ALLOW_HTTP_HOSTS": "nobody.invalid"}
    authsec("keys", "list", **allowed, **proxies)
    assert thief.asked == 0


def test_a_proxy_gets_no_more_than_a_tunnel_to_ask_for(start: Callable[..., Server]) -> None:
    proxy = start(502)
    result = authsec("keys", "list", AUTHSEC_BASE_URL="https://authsec.invalid", HTTPS_PROXY=proxy.url)
    assert "The proxy did not connect to authsec.invalid" in result.stderr
    assert proxy.asked == 1


def test_who_answers_instead_is_not_shown_a_user_name(start: Callable[..., Server]) -> None:
    """`https://authsec.example.com@thief.example` reads like the one and is the other."""
    thief = start(200)
    result = authsec("keys", "list", AUTHSEC_BASE_URL=thief.url.replace("//", "//authsec.example.com@"))
    assert "AUTHSEC_BASE_URL must be" in result.stderr
    assert thief.asked == 0
