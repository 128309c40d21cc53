"""Compare the tokens of this authority with those of `oidc-provider` for Node.js, which stores nothing.

    uv run --no-sync python benchmarks/against_oidc_provider.py [--connections 64] [--rounds 5] [--seconds 5]

Both are on this machine, and asked in turns by `wrk` (package `wrk` of Debian). npm installs Node.js and the provider
in a temporary folder. The provider has two processes. The authority is that of `tokens.py`, with SQLite.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import httpx2
from authsec_demo.authority import running_authority
from authsec_demo.commands import run
from tokens import NO_LIMITS, Round, agent_of, measured, print_round, private, url_of, with_children

PACKAGES: Final = ("oidc-provider@9", "node@26")
WORKERS: Final = 2
READY_SECONDS: Final = 20
_HERE: Final = Path(__file__).with_name("oidc_provider")


@contextmanager
def running_provider(folder: Path) -> Iterator[tuple[str, int]]:
    """Install and start the provider: its token endpoint, and its first process."""
    subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", *PACKAGES], cwd=folder, check=True)
    shutil.copy(_HERE / "server.mjs", folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    node = folder / "node_modules/node/bin/node"
    command = [str(node), "server.mjs", str(port), str(WORKERS)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(f"http://127.0.0.1:{port}/.well-known/openid-configuration")
        yield f"http://127.0.0.1:{port}/token", process.pid
    finally:
        process.terminate()
        process.wait(10)


def _await(url: str) -> None:
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


def main() -> None:
    """Measure both in turns, and print each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each round")
    asked = parser.parse_args()
    for program in ("wrk", "npm"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing.")
    with tempfile.TemporaryDirectory() as made, running_provider(Path(made)) as (endpoint, provider):
        folder = Path(made)
        admin_key = run("admin", "bootstrap-key", variables={}).out.strip()
        settings = {**NO_LIMITS, "AUTHSEC_SERVER_BOOTSTRAP_KEY_FILE": private(folder / "admin.key", admin_key)}
        with running_authority(folder, settings) as authority:
            authority.await_ready()
            ours = url_of(authority, agent_of(authority, admin_key))
            script = str(_HERE / "token_request.lua")
            rounds: dict[str, list[Round]] = {"authsec": [], "oidc-provider": []}
            for number in range(asked.rounds + 1):  # the first one warms up
                for name, url, process, script_of in (
                    ("authsec", ours, authority.process_id, ""),
                    ("oidc-provider", endpoint, provider, script),
                ):
                    one = measured(url, with_children(process), asked.connections, asked.seconds, script=script_of)
                    if number:
                        rounds[name].append(one)
                        print(f"{name:13}", end=" ")
                        print_round(one)
    rates = {name: median(each.rate for each in of_name) for name, of_name in rounds.items()}
    print(f"median: {rates['authsec'] / rates['oidc-provider']:.2f} times as many tokens a second")


if __name__ == "__main__":
    main()
