"""A real authority in a process of its own, on either database, and an administrator at it.

The process that starts the workers imports this file, and they wait for it. So functions import what takes long.
"""

from __future__ import annotations

import atexit
import base64
import importlib.util
import itertools
import os
import re
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import processes
import pytest
from processes import AUTHSEC, Process
from ready_programs import ready_programs

if TYPE_CHECKING:
    import httpx2
    from authsec.jose import PrivateKey

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@dataclass
class Agent:
    """A registered agent; `key` is its private key, where it has one."""

    client_id: str
    key: PrivateKey | None = None


class Running:
    """A running `authsec serve`."""

    def __init__(self, process: Process, url: str, where: list[str], environment: dict[str, str], log: Path) -> None:
        import httpx2

        self.process = process
        self.url = url
        self.where = where  # the options by which the CLI finds the same data
        self.environment = environment
        self.log = log
        self.http = httpx2.Client(base_url=url, trust_env=False, timeout=30, verify=False)
        self.admin = httpx2.Client(base_url=f"{url}/authsec/api/v1/", trust_env=False, timeout=30, verify=False)
        # With the address: a server with a new address is not in a checkpoint before its first second has passed.
        self.admin.headers["Authorization"] = (
            f"Bearer {_admin_key(where, environment | {'AUTHSEC_SERVER_PUBLIC_URL': url})}"
        )

    def cli(self, *words: str) -> str:
        """Run an `authsec` command on the server's machine; what it prints."""
        command = [*AUTHSEC, *words, *self.where]
        done = processes.run(command, env=self.environment, cwd=Path.cwd(), timeout=60, fork=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """One call of the admin API."""
        answer = self.admin.post(path, json=body)
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def agent(self, name: str, *, keyed: bool = False, platform: str = "unattested", **more: Any) -> Agent:
        """Onboard an agent."""
        from authsec.jose import PrivateKey

        key = PrivateKey.generate_ed25519() if keyed else None
        if key:
            platform, more = "key", more | {"public_key": key.public.to_pem().decode()}
        return Agent(self.post("clients", name=name, platform=platform, **more)["client_id"], key)

    def role(self, name: str, *actions: str) -> str:
        """Create a role; its slug."""
        slug: str = self.post("roles", name=name, actions=list(actions))["slug"]
        return slug

    def delegate(self, role: str, agent: Agent, *actions: str, **more: Any) -> str:
        """Create a trust delegation; its id."""
        body = {"target_type": "AutoGen AI agent", "max_duration": 3600} | more
        id_: str = self.post("delegations", role=role, client=agent.client_id, actions=list(actions), **body)["id"]
        return id_

    def assertion(self, agent: Agent, **changes: Any) -> str:
        """A `private_key_jwt` assertion of the agent; `changes` spoil its claims (None leaves one out)."""
        from authsec.jose import assemble, signing_input

        assert agent.key is not None
        now = int(time.time())
        claims = {
            "iss": agent.client_id,
            "sub": agent.client_id,
            "aud": self.url,
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_hex(16),
        } | changes
        unsigned = signing_input(
            {"alg": agent.key.algorithm, "typ": "client-authentication+jwt"},
            {name: value for name, value in claims.items() if value is not None},
        )
        return assemble(unsigned, agent.key.sign(unsigned))

    def ask(self, agent: Agent | None = None, *, proof: str = "", **parameters: Any) -> httpx2.Response:
        """Ask for a delegation token; an agent with a key proves itself unless `proof` says otherwise."""
        if agent is not None:
            parameters = {"client_id": agent.client_id} | parameters
            proof = proof or (self.assertion(agent) if agent.key else "")
        headers = {"Authorization": f"Bearer {proof}"} if proof else {}
        return self.http.get(ENDPOINT, params=parameters, headers=headers)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit status."""
        self.close()
        return end(self.process, number)

    def close(self) -> None:
        """Let go of the connections to it."""
        self.http.close()
        self.admin.close()


def end(process: Process, number: int = signal.SIGTERM) -> int:
    """End a process, or find that it has ended; its exit status."""
    if process.poll() is None:
        process.send_signal(number)
    return process.wait(30)


Serve = Callable[..., Running]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_option(request: pytest.FixtureRequest) -> str:
    """The `--database` of a test, once per kind; empty means SQLite in the data folder."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def serve(database_option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts authorities over the test's database: `serve(AUTHSEC_SERVER_…=…)`; at a `port`, if one is given."""
    monkeypatch.setenv("AUTHSEC_SERVER_MASTER_KEY_FILE", _master_key(tmp_path / "master.key"))
    with _serving(tmp_path, database_option) as start:
        yield start


@pytest.fixture(scope="session")
def serving() -> Callable[[Path, str], AbstractContextManager[Serve]]:
    """For authorities that several tests share: `with serving(folder, database_option) as serve:`."""
    return _serving


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """A folder for the beginning of a shell's PATH: `authsec`, `python` and `uvicorn`, which start at once."""
    with ready_programs() as folder:
        yield folder


@pytest.fixture(scope="module")
def oidc_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real OpenID Connect provider: the `RunningProvider` of oidc_provider/running.py."""
    path = Path(__file__).with_name("oidc_provider") / "running.py"
    spec = importlib.util.spec_from_file_location("running", path)  # test folders are no packages
    assert spec is not None
    assert spec.loader is not None
    running = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(running)
    with running.running_provider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@contextmanager
def _serving(folder: Path, database_option: str) -> Iterator[Serve]:
    starts = itertools.count()
    data = folder / "data"
    where = ["--database", database_option] if database_option else ["--data", str(data)]
    with ExitStack() as stack:

        def start(program: Sequence[str] = AUTHSEC, port: int = 0, **settings: str) -> Running:
            if not database_option and not data.exists():
                shutil.copytree(_begun(), data)
            data.mkdir(exist_ok=True)
            environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSEC")}
            environment["AUTHSEC_SERVER_MASTER_KEY_FILE"] = _master_key(folder / "master.key")
            # Without signing processes: they would start with each of hundreds of servers.
            environment |= {"AUTHSEC_SERVER_DRAIN_SECONDS": "0", "AUTHSEC_SERVER_SIGNERS": "0"} | settings
            log = folder / f"serve-{next(starts)}.log"
            command = [*program, "serve", "--port", str(port), *where]
            fork = program == AUTHSEC
            process = processes.start(command, env=environment, cwd=folder, output=log, fork=fork)
            stack.callback(end, process)
            # A second server has the issuer of the first, and an address of its own.
            url = _url(process, log, f"http://127.0.0.1:{port}" if port else "")
            its = Running(process, url, where, environment, log)
            stack.callback(its.close)
            return its

        yield start


def _admin_key(where: list[str], environment: dict[str, str]) -> str:
    """A new key, by the command that makes one, in this process: to start another takes as long as a server does.

    In a thread of its own, since a browser's event loop may run in this one.
    """
    import click
    from authsec_server.cli import register
    from click.testing import CliRunner

    commands = click.Group()
    register(commands)
    words = ["admin", "create-key", f"tests {secrets.token_hex(4)}", *where]
    unset = {name: None for name in os.environ if name.startswith("AUTHSEC")}
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(CliRunner().invoke, commands, words, env=unset | environment).result()
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


_MASTER_KEY = base64.b64encode(secrets.token_bytes(32))  # of all authorities of this process


def _master_key(file: Path) -> str:
    if not file.exists():
        file.write_bytes(_MASTER_KEY)
        file.chmod(0o600)
    return str(file)


@cache
def _begun() -> Path:
    """The data of an authority that was started once, to be copied: a first start costs four times a later start."""
    from authsec_server.app import open_authority
    from authsec_server.settings import Settings

    folder = Path(tempfile.mkdtemp(prefix="authsec-begun-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = folder / "data"
    data.mkdir()
    with open_authority(Settings(data=data, master_key_file=Path(_master_key(folder / "master.key")))):
        return data


def _url(process: Process, log: Path, given: str) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        if (found := re.search(r"issuer +(\S+)", log.read_text())) and _answers(given or found[1]):
            return given or found[1]
        time.sleep(0.02)
    raise AssertionError(f"authsec serve did not start:\n{log.read_text()}")


def _answers(url: str) -> bool:
    import httpx2

    try:
        return httpx2.get(f"{url}/readyz", trust_env=False, verify=False).status_code == 200
    except httpx2.TransportError:  # not up yet: asked again
        return False
