"""Two servers on one PostgreSQL database behind haproxy, configured by the file of deploy: one is lost under load.

Callers keep an `AuthSecClient` each. A caller must never notice a fault inside of its token's life.
"""

from __future__ import annotations

import http.client
import http.server
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import urllib3
from authsec.clock import Clock
from free_ports import free_port

from .callers import LIFE, Site
from .haproxy import haproxy, program

QUICK = 12  # times as fast as the clock of the machine: a token of 60 s is renewed after 2.5 s and ends after 5 s


@pytest.fixture
def site_at(serve: Any, tmp_path: Path) -> Iterator[Callable[[Clock], Site]]:
    with ExitStack() as stack:
        yield lambda clock: Site(stack, serve, tmp_path, clock)


def quick_clock() -> Clock:
    began, wall = time.monotonic(), time.time()

    def passed() -> float:
        return (time.monotonic() - began) * QUICK

    return Clock(monotonic=passed, wall=lambda: wall + passed())


@pytest.mark.parametrize("database_option", ["postgresql"], indirect=True)
def test_no_caller_notices_that_a_server_is_killed(site_at: Any) -> None:
    site = site_at(quick_clock())
    with site.load() as seen:
        time.sleep(0.5)
        site.servers[site.ports[0]].process.send_signal(signal.SIGKILL)
        time.sleep(3.0)
    assert seen.failures == []
    assert seen.refused == []
    assert len(seen.tokens) > len(site.agents)  # each caller has renewed its token


def test_the_shipped_file_ends_tls(tmp_path: Path) -> None:
    both, key = tmp_path / "authsec.pem", tmp_path / "key.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(both)]
    subprocess.run([program("openssl", "openssl"), *made], check=True, capture_output=True)
    trusted = ssl.create_default_context(cafile=both)
    both.write_text(both.read_text() + key.read_text())
    with haproxy(tmp_path, [free_port(), free_port()], both) as port:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusted, timeout=5)
        connection.request("GET", "/authsec/uflow/sdk/delegation-token")
        answer = connection.getresponse()
        answer.read()
        connection.close()
    # No server runs: the SDK may repeat the request.
    assert (answer.status, answer.getheader("Retry-After")) == (503, "1")


class Answers(http.server.BaseHTTPRequestHandler):
    """A server that answers everything with 200."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


class Breaks(Answers):
    """A healthy server that loses each connection after it has read the request."""

    def do_GET(self) -> None:
        if self.path == "/readyz":
            super().do_GET()
        self.close_connection = True


def test_a_lost_request_is_repeated_only_if_it_changes_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ports = []
        for kind in (Answers, Breaks):
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            ports.append(server.server_port)
        base = f"http://127.0.0.1:{stack.enter_context(haproxy(tmp_path, ports))}"
        pool = stack.enter_context(urllib3.PoolManager(retries=False))

        def statuses(method: str, path: str) -> set[tuple[int, str | None]]:
            answers = [pool.request(method, base + path, timeout=5) for _ in range(6)]
            return {(each.status, each.headers.get("Retry-After")) for each in answers}

        for path in ("/.well-known/jwks.json", "/authsec/.well-known/jwks.json", "/authsec/v1/revocations?since=0"):
            assert statuses("GET", path) == {(200, None)}
        for method, path in (("GET", "/authsec/uflow/sdk/delegation-token"), ("POST", "/oauth/token")):
            assert statuses(method, path) == {(200, None), (503, "1")}
        for method, path in (("GET", "/console"), ("POST", "/authsec/api/v1/roles")):
            assert statuses(method, path) == {(200, None), (502, None)}


KILL, FREEZE, DRAINED = signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM


@pytest.mark.soak
@pytest.mark.parametrize("fault", [KILL, FREEZE, DRAINED], ids=["killed", "frozen", "drained"])
@pytest.mark.parametrize("database_option", ["postgresql"], indirect=True)
def test_no_caller_notices_a_lost_server(site_at: Any, fault: signal.Signals) -> None:
    """With the machine's clock: each caller renews its token twice, once without the server."""
    site = site_at(Clock())
    with site.load() as seen:
        time.sleep(5)
        lost = site.servers[site.ports[0]]
        lost.process.send_signal(fault)
        since = time.monotonic()
        time.sleep(LIFE)
        if fault == FREEZE:
            lost.process.send_signal(signal.SIGCONT)
        else:
            lost.process.wait(30)
            site.servers[site.ports[0]] = site.start(site.ports[0])
        time.sleep(10)
    print(f"{fault.name}: {seen.uses} uses, {len(seen.tokens)} tokens, {len(seen.fresh)} without a cache, "
          f"{len(seen.fresh_failures)} of them failed, longest wait {seen.longest_gap(since):.1f} s: "
          f"{seen.fresh_failures[:3]}")  # fmt: skip
    assert seen.failures == []
    assert seen.refused == []
    assert seen.fresh_failures == []
    assert seen.longest_gap(since) < 10


@pytest.mark.soak
@pytest.mark.parametrize("database_option", ["postgresql"], indirect=True)
def test_no_caller_notices_that_haproxy_is_away_for_a_while(site_at: Any) -> None:
    """Shorter than the 30 seconds after which an API without news of revocations refuses all tokens."""
    site = site_at(Clock())
    with site.load() as seen:
        time.sleep(3)
        since = time.monotonic()
        site.stop_haproxy()
        time.sleep(10)
        site.start_haproxy()
        time.sleep(25)
    print(f"haproxy away for 10 s: longest wait without a token {seen.longest_gap(since):.1f} s")
    assert seen.failures == []
    assert seen.refused == []
    assert seen.fresh[-1] > since + 10
