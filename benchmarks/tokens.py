"""Measure what a token costs: the processor time of the server for each, in RSA-2048 signatures of the same machine.

    uv run --no-sync python benchmarks/tokens.py [--connections 64] [--rounds 5] [--seconds 5]
    uv run --no-sync python benchmarks/tokens.py --algorithm ES256
    uv run --no-sync python benchmarks/tokens.py --database postgresql+psycopg://user@host/empty

The load comes from `wrk` (package `wrk` of Debian), which asks for tokens of one agent without a proof. The server
seals its audit log meanwhile. With `--algorithm`, the tokens are for an API that is registered for this algorithm. With
PostgreSQL, the processor time of all its processes counts, so it must be on this machine and have nothing else to do.
Printed are each round and the median.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import httpx2
from authsec_demo.authority import Authority, running_authority
from authsec_demo.commands import run
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

ENDPOINT: Final = "/authsec/uflow/sdk/delegation-token"
SIGNATURES: Final = 300
SEALING_SECONDS: Final = 1.5  # until what a round recorded is sealed
NO_LIMITS: Final = dict.fromkeys(
    ("AUTHSEC_SERVER_ADDRESS_LIMIT", "AUTHSEC_SERVER_CLIENT_LIMIT", "AUTHSEC_SERVER_UNPROVED_LIMIT"), "1000000"
)
_KEY: Final = rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured: `cost` is the server's processor time for a token, `signature` that of a signature."""

    tokens: int
    rate: float
    p50: str
    p99: str
    cost: float
    signature: float

    @property
    def ratio(self) -> float:
        return self.cost / self.signature


def seconds_of_a_signature() -> float:
    """The processor time of one RSA-2048 signature, now."""
    began = time.process_time()
    for _ in range(SIGNATURES):
        _KEY.sign(bytes(900), padding.PKCS1v15(), SHA256())
    return (time.process_time() - began) / SIGNATURES


def processor_seconds(processes: Sequence[int]) -> float:
    """The processor time of these processes and of their ended children (`/proc/PID/stat`, fields 14 to 17)."""
    ticks = 0
    for process in processes:
        try:
            fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
        except FileNotFoundError:  # it has ended
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def with_children(parent: int) -> list[int]:
    """This process and its signing processes."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii").split()
    return [parent, *map(int, children)]


def processes_of(name: str) -> list[int]:
    """The processes of this program."""
    return [
        int(each.name)
        for each in Path("/proc").iterdir()
        if each.name.isdigit() and (each / "comm").exists() and (each / "comm").read_text("ascii").strip() == name
    ]


def agent_of(authority: Authority, admin_key: str, algorithm: str = "") -> str:
    """The client id of an agent without a proof, to which something is delegated at an API for this algorithm."""
    headers = {"Authorization": f"Bearer {admin_key}"}
    with httpx2.Client(base_url=f"{authority.url}/authsec/api/v1/", headers=headers, trust_env=False) as admin:

        def created(path: str, **body: object) -> dict[str, str]:
            answer = admin.post(path, json=body)
            answer.raise_for_status()
            made: dict[str, str] = answer.json()
            return made

        audiences = []
        if algorithm:
            api = created("apis", name="Customers", identifier="customers-api", signing_algorithm=algorithm)
            audiences = [api["identifier"]]
        role = created("roles", name="Support", actions=["customers:read", "tickets:write"])["slug"]
        client = created("clients", name="Agent", platform="unattested")["client_id"]
        created(
            "delegations",
            role=role,
            client=client,
            actions=["customers:read"],
            audiences=audiences,
            target_type="AutoGen AI agent",
            max_duration=3600,
        )
    return client


def private(file: Path, text: str) -> str:
    """Write a file that only its owner can read; its path."""
    file.touch(0o600)
    file.write_text(text, "ascii")
    return str(file)


def url_of(authority: Authority, client_id: str) -> str:
    """The address at which this agent gets a token."""
    return f"{authority.url}{ENDPOINT}?client_id={client_id}"


def load(url: str, connections: int, seconds: int, *, script: str = "") -> str:
    """Run wrk, with a script if there is one; what it prints."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *(["-s", script] if script else []), url]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measured(url: str, processes: Sequence[int], connections: int, seconds: int, *, script: str = "") -> Round:
    """Run one round. The price of a signature is taken before and after it."""
    before, began = seconds_of_a_signature(), processor_seconds(processes)
    said = load(url, connections, seconds, script=script)
    time.sleep(SEALING_SECONDS)
    spent, after = processor_seconds(processes) - began, seconds_of_a_signature()
    if refused := re.search(r"Non-2xx or 3xx responses: (\d+)", said):
        raise SystemExit(f"{refused[1]} requests got no token.")
    tokens = int(found(r"(\d+) requests in", said))
    return Round(
        tokens=tokens,
        rate=float(found(r"Requests/sec:\s+([\d.]+)", said)),
        p50=found(r"(?m)^ +50% +(\S+)", said),
        p99=found(r"(?m)^ +99% +(\S+)", said),
        cost=spent / tokens,
        signature=(before + after) / 2,
    )


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"wrk printed nothing like {pattern!r}:\n{text}")
    return match[1]


def main() -> None:
    """Measure, and print each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="", help="SQLAlchemy URL of an empty PostgreSQL database")
    parser.add_argument("--algorithm", default="", choices=["", "RS256", "ES256", "EdDSA"], help="of the API")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--signers", default="", help="AUTHSEC_SERVER_SIGNERS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each round")
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        admin_key = run("admin", "bootstrap-key", variables={}).out.strip()
        settings = {**NO_LIMITS, "AUTHSEC_SERVER_BOOTSTRAP_KEY_FILE": private(folder / "admin.key", admin_key)}
        if asked.signers:
            settings["AUTHSEC_SERVER_SIGNERS"] = asked.signers
        if asked.database:
            master_key = private(folder / "master.key", base64.b64encode(os.urandom(32)).decode())
            settings |= {"AUTHSEC_SERVER_DATABASE": asked.database, "AUTHSEC_SERVER_MASTER_KEY_FILE": master_key}
        with running_authority(folder, settings) as authority:
            authority.await_ready()
            url = url_of(authority, agent_of(authority, admin_key, asked.algorithm))
            load(url, asked.connections, 2)  # warms up
            rounds = []
            for _ in range(asked.rounds):
                processes = with_children(authority.process_id)
                processes += processes_of("postgres") if asked.database else []
                rounds.append(measured(url, processes, asked.connections, asked.seconds))
                print_round(rounds[-1])
    print(f"median: {median(each.ratio for each in rounds):.2f} signatures a token")


def print_round(one: Round) -> None:
    print(
        f"{one.ratio:5.2f} signatures a token ({one.cost * 1e6:.0f} of {one.signature * 1e6:.0f} µs),"
        f" {one.rate:6.0f} tokens/s, p50 {one.p50}, p99 {one.p99}",
        flush=True,
    )


if __name__ == "__main__":
    main()
