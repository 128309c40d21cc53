"""The reference: `oidc-provider` for Node.js, which stores nothing, keeps no audit log and can revoke no token."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2

from benchmarks.tokens.load import Request, Target

PACKAGES: Final = ("oidc-provider@9", "node@26")  # npm has Node.js itself as well
WORKERS: Final = 2
READY_SECONDS: Final = 20
BODY: Final = "grant_type=client_credentials&client_id=agent&client_secret=secret-of-the-agent&scope=customers:read"
REQUEST: Final = Request("/token", method="POST", body=BODY)
_PROGRAM: Final = Path(__file__).with_name("oidc_provider.mjs")


@contextmanager
def running_provider(folder: Path) -> Iterator[Target]:
    """Install the provider in a new folder, and start it with two processes."""
    folder.mkdir()
    subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", *PACKAGES], cwd=folder, check=True)
    shutil.copy(_PROGRAM, folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(folder / "node_modules/node/bin/node"), _PROGRAM.name, str(port), str(WORKERS)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _await_ready(f"{url}/.well-known/openid-configuration")
        yield Target(url=url, process=process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _await_ready(url: str) -> None:
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            httpx2.get(url, trust_env=False).raise_for_status()
        except httpx2.HTTPError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return
