"""An authority under test: `authsec serve` processes on one database, a switch before them, and an administrator."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import processes
import urllib3
from authsec.jose import PrivateKey, assemble, signing_input
from free_ports import free_port
from processes import Process

from benchmarks.revocation.switch import Switch, switch

from .databases import Cluster, Kind

AUTHSEC = (sys.executable, "-c", "from authsec.cli import main; main()")
WITH_A_CLOCK = (sys.executable, str(Path(__file__).with_name("server_with_a_clock.py")))
IMPATIENT = (sys.executable, str(Path(__file__).with_name("impatient_server.py")))
ADMIN_API = "/authsec/api/v1/"
TOKENS = "/authsec/uflow/sdk/delegation-token"
STARTING = 40.0  # seconds for a server to become ready
COMMAND = 120.0  # seconds for an `authsec` command
_SETTINGS = {
    "ADDRESS_LIMIT": "1000000",
    "UNPROVED_LIMIT": "1000000",
    "CLIENT_LIMIT": "1000000",
    "DRAIN_SECONDS": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a request; `status` is 0 without an answer. `reached` is false where nobody took the request."""

    status: int
    body: Any
    request_id: str
    sent: float
    received: float
    reached: bool = True

    @property
    def done(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A registered agent with a role and a trust delegation of its own; `key` is None for an unattested one."""

    client: str
    role: str
    key: PrivateKey | None


@dataclass(slots=True)
class Server:
    """An `authsec serve` process at a port."""

    port: int
    process: Process
    log: Path

    def kill(self) -> None:
        """SIGKILL, as the end of the machine."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self) -> None:
        """End the process, frozen or not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()


@dataclass(slots=True)
class Deployment:
    """Servers on one database. All name the switch at `front` as their issuer."""

    kind: Kind
    folder: Path
    data: Path
    cluster: Cluster | None
    database: str
    proxy: Switch | None
    front: Switch
    http: urllib3.PoolManager
    program: Sequence[str]
    forks: bool = False
    servers: dict[int, Server] = field(default_factory=dict)
    admin_key: str = field(default="", repr=False)
    checkpoints_kept: list[Path] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        """The issuer of all tokens: the address of the switch."""
        return f"http://127.0.0.1:{self.front.port}"

    @property
    def checkpoints(self) -> Path:
        """The file of the outside checkpoints."""
        return self.folder / "checkpoints.txt"

    def keep_checkpoints(self) -> None:
        """Keep a copy of the outside checkpoints as they are, for the check at the end."""
        self.checkpoints_kept.append(self.folder / f"checkpoints-{len(self.checkpoints_kept)}.txt")
        shutil.copyfile(self.checkpoints, self.checkpoints_kept[-1])

    @property
    def sqlite_file(self) -> Path:
        """The embedded database."""
        return self.data / "authsec.sqlite3"

    @property
    def where(self) -> list[str]:
        """The options by which a command finds the database, not through the proxy."""
        if self.cluster is None:
            return ["--data", str(self.data)]
        return ["--database", self.cluster.uri_of(self.database)]

    def launch(self, port: int) -> Server:
        """Start the server of this port, without a wait."""
        where = self.where
        if self.proxy is not None:
            where = ["--database", f"postgresql://postgres@127.0.0.1:{self.proxy.port}/{self.database}"]
        log = self.folder / f"serve-{port}.log"
        command = [*self.program, "serve", "--port", str(port), "--public-url", self.issuer, *where]
        process = processes.start(command, env=self._environment(), cwd=self.folder, output=log, fork=self.forks)
        self.servers[port] = Server(port, process, log)
        return self.servers[port]

    def start(self, port: int) -> Server:
        """Start the server of this port, and wait until the server is ready."""
        server = self.launch(port)
        deadline = time.monotonic() + STARTING
        while self.ready(port) != 200:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"authsec serve did not start:\n{server.log.read_text('utf-8', 'replace')}")
            time.sleep(0.02)
        return server

    def ready(self, port: int) -> int:
        """The status of `/readyz`; 0 without an answer."""
        return self.call(port, "GET", "/readyz", timeout=2.0).status

    def call(self, port: int, method: str, path: str, *, timeout: float = 8.0, **more: Any) -> Answer:
        """One request to the server of this port."""
        sent = time.monotonic()
        reached = True
        try:
            answer = self.http.request(method, f"http://127.0.0.1:{port}{path}", timeout=timeout, **more)
        except urllib3.exceptions.HTTPError as error:
            reached = not isinstance(error, urllib3.exceptions.NewConnectionError)
            return Answer(status=0, body=None, request_id="", sent=sent, received=time.monotonic(), reached=reached)
        try:
            body = json.loads(answer.data)
        except ValueError:  # a page, or nothing
            body = answer.data.decode(errors="replace")
        request_id = answer.headers.get("X-Request-ID", "")
        return Answer(status=answer.status, body=body, request_id=request_id, sent=sent, received=time.monotonic())

    def administer(self, port: int, method: str, path: str, *, timeout: float = 20.0, **body: Any) -> Answer:
        """One request to the admin API. Edits match any revision."""
        headers = {"Authorization": f"Bearer {self.admin_key}"}
        if method == "PATCH":
            headers["If-Match"] = "*"
        more = {"json": body} if body else {}
        return self.call(port, method, ADMIN_API + path, timeout=timeout, headers=headers, **more)

    def must(self, method: str, path: str, **body: Any) -> Any:
        """A request to the admin API that no fault is in the way of; the body of the answer."""
        answer = self.administer(next(iter(self.servers)), method, path, **body)
        assert answer.done, f"{method} {path} was answered {answer.status}: {answer.body}"
        return answer.body

    def ask(self, port: int, agent: Agent, *, timeout: float = 5.0) -> Answer:
        """Ask for a delegation token as the agent."""
        headers = {"Authorization": f"Bearer {self._assertion(agent)}"} if agent.key else {}
        return self.call(port, "GET", f"{TOKENS}?client_id={agent.client}", timeout=timeout, headers=headers)

    def onboard(self, name: str, *, keyed: bool) -> Agent:
        """Register an agent with a role and a trust delegation of its own."""
        key = PrivateKey.generate_ed25519() if keyed else None
        proof = {"platform": "key", "public_key": key.public.to_pem().decode()} if key else {"platform": "unattested"}
        role = self.must("POST", "roles", name=f"Role of {name}", actions=["customers:read", "customers:write"])
        agent = Agent(client=self.must("POST", "clients", name=name, **proof)["client_id"], role=role["slug"], key=key)
        self.must("POST", "delegations", **self.terms(agent))
        return agent

    def terms(self, agent: Agent) -> dict[str, Any]:
        """A trust delegation for the agent."""
        return {
            "role": agent.role, "client": agent.client, "target_type": "AutoGen AI agent", "max_duration": 3600,
            "actions": ["customers:read"],
        }  # fmt: skip

    def _assertion(self, agent: Agent) -> str:
        assert agent.key is not None
        now = int(time.time())
        claims = {
            "iss": agent.client, "sub": agent.client, "aud": self.issuer, "iat": now, "exp": now + 60,
            "jti": secrets.token_hex(16),
        }  # fmt: skip
        unsigned = signing_input({"alg": agent.key.algorithm, "typ": "client-authentication+jwt"}, claims)
        return assemble(unsigned, agent.key.sign(unsigned))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run an `authsec` command on the machine of the database."""
        return processes.run(
            [*AUTHSEC, *words, *self.where], env=self._environment(), cwd=self.folder, timeout=COMMAND, fork=self.forks
        )

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSEC")}
        settings = _SETTINGS | {
            "MASTER_KEY_FILE": str(self.folder / "master.key"),
            "AUDIT_CHECKPOINTS": str(self.checkpoints),
        }
        return inherited | {f"AUTHSEC_SERVER_{name}": value for name, value in settings.items()}


@contextmanager
def deployment(
    kind: Kind,
    folder: Path,
    cluster: Cluster | None,
    *,
    servers: int,
    proxied: bool,
    program: Sequence[str] = AUTHSEC,
    forks: bool = False,
) -> Iterator[Deployment]:
    """A deployment whose servers are ready, with an admin key. `forks`: processes are forked, not started."""
    with ExitStack() as stack:
        folder.chmod(0o755)
        data = folder / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        master_key = folder / "master.key"
        master_key.touch(mode=0o600)
        master_key.write_bytes(base64.b64encode(secrets.token_bytes(32)))
        ports: list[int | str] = [free_port() for _ in range(servers)]
        proxy = None
        if proxied and cluster is not None:
            proxy = stack.enter_context(switch(free_port(), [cluster.socket]))
        opened = Deployment(
            kind=kind,
            folder=folder,
            data=data,
            cluster=cluster,
            database=cluster.create() if cluster else "",
            proxy=proxy,
            front=stack.enter_context(switch(free_port(), ports)),
            http=stack.enter_context(urllib3.PoolManager(num_pools=8, maxsize=32, retries=False)),
            program=program,
            forks=forks,
        )
        stack.callback(lambda: [server.stop() for server in opened.servers.values()])
        for port in ports:
            opened.start(int(port))
        made = opened.command("admin", "create-key", "faults")
        assert made.returncode == 0, made.stderr
        opened.admin_key = made.stdout.strip()
        yield opened
