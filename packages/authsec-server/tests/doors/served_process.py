"""`authsec serve` in a process of its own, for tests that freeze it, end it, or take its database away."""

from __future__ import annotations

import base64
import os
import re
import secrets
import signal
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import processes
from processes import AUTHSEC, Process

_TRUST = ssl.create_default_context()  # made once: many clients ask, and each would load the system's certificates
TOKEN = "/authsec/uflow/sdk/delegation-token"


@dataclass
class Served:
    """A running server."""

    process: Process
    url: str
    log: Path

    def get(self, path: str, *, seconds: float = 30, **query: str) -> httpx2.Response:
        """GET, on a connection of its own."""
        return httpx2.get(self.url + path, params=query, timeout=seconds, trust_env=False, verify=_TRUST)

    def token(self, client_id: str, *, seconds: float = 30) -> httpx2.Response:
        """Ask for a token in the name of an unattested agent."""
        return self.get(TOKEN, seconds=seconds, client_id=client_id)

    def freeze(self) -> None:
        """Stop the process where it is."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


def master_key(folder: Path) -> Path:
    """The key file of the servers of one test."""
    path = folder / "master.key"
    if not path.exists():
        path.write_bytes(base64.b64encode(secrets.token_bytes(32)))
        path.chmod(0o600)
    return path


@contextmanager
def served(database_url: str, folder: Path, *, program: Sequence[str] = AUTHSEC, **settings: str) -> Iterator[Served]:
    """Serve the authority of this database on a free port; it is killed at the end, if it still runs."""
    environment = os.environ | {
        "AUTHSEC_SERVER_MASTER_KEY_FILE": str(master_key(folder)),
        "AUTHSEC_SERVER_UNPROVED_LIMIT": "1000000",
        "AUTHSEC_SERVER_ADDRESS_LIMIT": "1000000",
        "AUTHSEC_SERVER_PUBLIC_URL": "http://127.0.0.1:7468",
        "AUTHSEC_SERVER_SIGNERS": "0",  # they would start with each server
        **settings,
    }
    where = ["--data", str(folder)] if database_url.startswith("sqlite") else ["--database", database_url]
    log = folder / f"serve-{secrets.token_hex(4)}.log"
    command = [*program, "serve", "--port", "0", *where]
    process = processes.start(command, env=environment, cwd=folder, output=log, fork=program == AUTHSEC)
    try:
        yield Served(process, _address(process, log), log)
    finally:
        process.kill()
        process.wait(10)


def _address(process: Process, log: Path) -> str:
    """Where it listens, once it answers there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"listens on (127\.0\.0\.1:\d+)", log.read_text()):
            with suppress(httpx2.HTTPError):
                httpx2.get(f"http://{found[1]}/healthz", timeout=5, trust_env=False)
                return f"http://{found[1]}"
        time.sleep(0.05)
    raise AssertionError(log.read_text())
