"""Load by `wrk` (package `wrk` of Debian), and what it measured."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from benchmarks.tokens.processes import Spent, seconds_of_a_signature, spent

LONGEST_SECONDS: Final = 10  # of a round that is repeated
SEALING_SECONDS: Final = 1.5  # of a round of 5 seconds, until what it recorded is sealed
_SCRIPT: Final = Path(__file__).with_name("load.lua")

Order = Literal["next", "random"]


class Request(NamedTuple):
    """One request for a token."""

    path: str
    authorization: str = ""
    method: str = "GET"
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that issues tokens. `database` are the processes of its PostgreSQL."""

    url: str
    process: int
    database: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round measured. Latencies are milliseconds; `spent` and `signature` are processor seconds."""

    connections: int
    tokens: int
    rate: float  # tokens a second
    p50: float
    p90: float
    p99: float
    spent: Spent
    signature: float

    @property
    def ratio(self) -> float:
        """The processor time of a token, in signatures."""
        return self.spent.total / self.tokens / self.signature


def run_round(
    target: Target, requests: Sequence[Request], *, connections: int, seconds: int, order: Order = "next"
) -> Round:
    """Ask for tokens, and wait until the audit log is sealed. The price of a signature is taken before and after.

    If a busy machine answers nothing in time, the round is repeated once, and takes longer. Raises `SystemExit` if a
    request got no token.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as lines:
        lines.writelines(f"{each.method}\t{each.path}\t{each.authorization}\t{each.body}\n" for each in requests)
        lines.flush()
        before, began = seconds_of_a_signature(), spent(target.process, target.database)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT), target.url]
        done = subprocess.run([*command, "--", lines.name, order], check=True, capture_output=True, text=True)
        time.sleep(SEALING_SECONDS * min(1.0, seconds / 5))
        used, after = spent(target.process, target.database).since(began), seconds_of_a_signature()
    said = json.loads(done.stdout.splitlines()[-1])
    if not said["requests"] and seconds < LONGEST_SECONDS:
        return run_round(target, requests, connections=connections, seconds=LONGEST_SECONDS, order=order)
    if said["failed"] or not said["requests"]:
        raise SystemExit(f"{said['failed']} of {said['requests']} requests to {target.url} got no token.")
    return Round(
        connections=connections,
        tokens=said["requests"],
        rate=said["requests"] / said["microseconds"] * 1e6,
        p50=said["p50"] / 1000,
        p90=said["p90"] / 1000,
        p99=said["p99"] / 1000,
        spent=used,
        signature=(before + after) / 2,
    )
