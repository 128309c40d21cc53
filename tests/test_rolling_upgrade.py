"""Two servers on one PostgreSQL database: forward to the next release and back, while agents get tokens."""

from __future__ import annotations

import json
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient
from free_ports import free_port
from next_release import PROGRAM, REVISION, NextRelease, next_release

PAUSE = 0.05  # seconds between two tokens of an agent


class Balancer:
    """A TCP load balancer on loopback, with the servers in turn. A server that is out gets no new connection."""

    def __init__(self, *ports: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._ports = [*ports]
        self._turn = 0
        self._over = False
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def put_in(self, port: int) -> None:
        if port not in self._ports:
            self._ports.append(port)

    def take_out(self, port: int) -> None:
        self._ports.remove(port)

    def close(self) -> None:
        self._over = True
        self._listener.close()

    def _run(self) -> None:
        with suppress(OSError):
            while not self._over:
                client, _ = self._listener.accept()
                self._turn += 1
                ports = [*self._ports]
                port = ports[self._turn % len(ports)]
                threading.Thread(target=_forward, args=(client, port), daemon=True).start()


def _forward(client: socket.socket, port: int) -> None:
    with (
        client,
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port)) as server,
        selectors.DefaultSelector() as selector,
    ):
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        while True:
            for key, _ in selector.select():
                part = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not part:
                    return
                key.data.sendall(part)


@dataclass
class Load:
    """Agents that request a new token all the time."""

    tokens: int = 0
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def work(self, issuer: str, client_id: str) -> None:
        client = AuthSecClient(base_url=issuer, client_id=client_id)
        while not self.over.wait(PAUSE):
            try:
                client.get_token(force_refresh=True)
                self.tokens += 1
            except Exception as error:  # noqa: BLE001 - the test reports it
                self.failures.append(f"{type(error).__name__}: {error}")

    @contextmanager
    def on(self, issuer: str, agents: list[Any]) -> Iterator[None]:
        with ThreadPoolExecutor(len(agents)) as pool:
            for agent in agents:
                pool.submit(self.work, issuer, agent.client_id)
            try:
                yield
            finally:
                self.over.set()

    def some_more(self, number: int = 20) -> None:
        """Wait until the agents have got some tokens more."""
        wanted, deadline = self.tokens + number, time.monotonic() + 60
        while self.tokens < wanted:
            assert time.monotonic() < deadline, f"no tokens any more: {self.failures[-3:]}"
            time.sleep(0.05)


@dataclass
class Site:
    """The servers of one database behind a balancer."""

    serve: Any
    balancer: Balancer
    next: NextRelease
    load: Load
    running: dict[int, Any] = field(default_factory=dict)

    def start(self, port: int, *, newer: bool = False) -> Any:
        more = {**self.next.environment} if newer else {}
        limits = dict.fromkeys(("AUTHSEC_SERVER_UNPROVED_LIMIT", "AUTHSEC_SERVER_ADDRESS_LIMIT"), "1000000")
        program = {"program": PROGRAM} if newer else {}
        its = self.serve(
            port=port,
            AUTHSEC_SERVER_PUBLIC_URL=self.balancer.url,
            AUTHSEC_SERVER_DRAIN_SECONDS="1",
            **limits,
            **more,
            **program,
        )
        self.running[port] = its
        self.balancer.put_in(port)
        return its

    def replace(self, port: int, *, newer: bool) -> Any:
        """Drain the server of this port, and start the other release there."""
        self.balancer.take_out(port)
        self.load.some_more()
        assert self.running[port].stop(signal.SIGTERM) == 0
        self.load.some_more()
        its = self.start(port, newer=newer)
        self.load.some_more()
        return its


def edit(its: Any, role: str, *actions: str) -> None:
    answer = its.admin.patch(f"roles/{role}", json={"actions": [*actions]}, headers={"If-Match": "*"})
    assert answer.is_success, answer.text


@pytest.mark.soak  # test_upgrade.py of the server has both programs on one database, without load
@pytest.mark.parametrize("database_option", ["postgresql"], indirect=True)
def test_forward_and_back_under_load_fails_no_request(serve: Any, tmp_path: Path, database_option: str) -> None:
    first, second = free_port(), free_port()
    balancer, load = Balancer(first, second), Load()
    site = Site(serve, balancer, next_release(tmp_path / "next"), load)
    a, b = site.start(first), site.start(second)
    roles = [a.role(name, "customers:read", "customers:delete") for name in ("Reader", "Writer", "Other")]
    agents = [a.agent(f"Agent {n}") for n in range(3)]
    for agent in agents:
        a.delegate(roles[0], agent, "customers:read")
    keys = tmp_path / "keys.json"
    keys.write_text(a.cli("audit", "keys"))
    where = ("--database", database_option)
    with load.on(balancer.url, agents):
        load.some_more()
        refused = site.next.run(
            "serve", "--port", "0", *where, AUTHSEC_SERVER_MASTER_KEY_FILE=str(tmp_path / "master.key")
        )
        assert refused.returncode == 1
        assert "authsec db upgrade" in refused.stderr + refused.stdout
        upgraded = site.next.run("db", "upgrade", "--json", *where)
        assert upgraded.returncode == 0, upgraded.stderr
        assert json.loads(upgraded.stdout)["to"] == REVISION
        load.some_more()
        edit(b, roles[1], "customers:read")
        a = site.replace(first, newer=True)
        edit(a, roles[1], "customers:delete")  # the next release writes a column that this one does not know
        edit(a, roles[2], "customers:read")
        edit(b, roles[1], "customers:read", "customers:delete")
        b = site.replace(second, newer=True)
        edit(b, roles[0], "customers:read")
        a = site.replace(first, newer=False)
        edit(a, roles[0], "customers:delete", "customers:read")
        b = site.replace(second, newer=False)
        assert b.admin.post("roles", json={"name": "New", "actions": ["a:b"]}).is_success
        assert a.admin.delete(f"roles/{roles[2]}", headers={"If-Match": "*"}).is_success
        gone = b.agent("Gone")
        b.post(f"clients/{gone.client_id}/disable")
        load.some_more()
    assert load.failures == []
    time.sleep(2)  # the sealer
    assert site.running[first].stop() == site.running[second].stop() == 0
    key = {"AUTHSEC_SERVER_MASTER_KEY_FILE": str(tmp_path / "master.key")}
    verified = site.next.run("audit", "verify", "--key", str(keys), *where, **key)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    balancer.close()
