"""Every proxy that is installed before one API, `authsec verify-server`, and the authority behind it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from .programs import PROGRAMS, Addresses, running
from .recording_api import Request, recording_api

WITH_A_CLOCK = Path(__file__).with_name("server_with_a_clock.py")
AUDIENCE = "https://crm.example.com"
READ, DELETE = "customers:read", "customers:delete"


@dataclass(kw_only=True)
class Estate:
    """A proxy of each kind before one API, the server that they ask, and the authority behind it."""

    authority: Any
    verify_server: subprocess.Popen[str]
    asked_at: str
    log: Path
    urls: Mapping[str, str] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)

    def agent(self, name: str, *actions: str) -> tuple[str, str]:
        """A new agent's token for the API, and the id of the delegation that it rests on."""
        agent = self.authority.agent(name)
        delegation = self.authority.delegate("support", agent, *actions, audiences=[AUDIENCE])
        return self.token(agent), delegation

    def token(self, agent: Any) -> str:
        token: str = self.authority.ask(agent).json()["token"]
        return token

    def ask(self, proxy: str, path: str, *tokens: str) -> httpx2.Response:
        headers = [("Authorization", f"Bearer {token}") for token in tokens]
        return httpx2.get(f"{self.urls[proxy]}{path}", headers=headers, trust_env=False, timeout=20)

    def eventually(self, condition: Callable[[], bool]) -> float:
        """Wait until it holds; how many seconds that took."""
        return _eventually(condition)

    def health(self) -> httpx2.Response:
        return httpx2.get(f"{self.asked_at}/healthz", trust_env=False, timeout=20)


@contextmanager
def opened_estate(folder: Path, serving: Any) -> Iterator[Estate]:
    """An estate of its own, with all the proxies that are installed."""
    with ExitStack() as stack:
        authority = stack.enter_context(serving(folder, ""))()
        authority.post("apis", name="CRM", identifier=AUDIENCE)
        authority.role("Support", READ, DELETE)
        seen: list[Request] = []
        api = stack.enter_context(recording_api(seen))
        log = folder / "verify-server.log"
        process = stack.enter_context(_verify_server(authority, log))
        _eventually(lambda: "It protects" in log.read_text())
        http, fastcgi = re.findall(r"(?:http|fcgi)://(127\.0\.0\.1:\d+)", log.read_text())[:2]
        made = Estate(authority=authority, verify_server=process, asked_at=f"http://{http}", log=log, seen=seen)
        _eventually(lambda: made.health().status_code == 200)
        addresses = Addresses(api=api.removeprefix("http://"), http=http, fastcgi=fastcgi)
        installed = {name: path for name, program in PROGRAMS.items() if (path := program.path())}
        made.urls = stack.enter_context(running(installed, folder, addresses))
        yield made


@contextmanager
def _verify_server(authority: Any, log: Path) -> Iterator[subprocess.Popen[str]]:
    words = ["--issuer", authority.url, "--audience", AUDIENCE, "--listen", "127.0.0.1:0", "--fastcgi", "127.0.0.1:0"]
    words += ["--dpop-origin", AUDIENCE]
    with log.open("w") as stderr:
        command = [sys.executable, WITH_A_CLOCK, "verify-server", *words]
        process = subprocess.Popen(command, env=authority.environment, stderr=stderr, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(20)


def _eventually(condition: Callable[[], bool], seconds: float = 10) -> float:
    """Wait until it holds; how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.01)
    return time.monotonic() - began
