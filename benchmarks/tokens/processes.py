"""The processor time and the memory of processes, and the price of a signature on this machine now."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

SIGNATURES: Final = 300


def seconds_of_a_signature() -> float:
    """The processor time of one RSA-2048 signature."""
    key = rsa.generate_private_key(65537, 2048)
    began = time.process_time()
    for _ in range(SIGNATURES):
        key.sign(bytes(900), padding.PKCS1v15(), SHA256())
    return (time.process_time() - began) / SIGNATURES


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Processor seconds of a server by part. `database` is that of processes of PostgreSQL."""

    loop: float = 0.0  # the first thread, which has the event loop
    threads: float = 0.0  # those that write the database and seal the audit log
    signers: float = 0.0
    database: float = 0.0

    @property
    def total(self) -> float:
        return self.loop + self.threads + self.signers + self.database

    def since(self, before: Spent) -> Spent:
        """The difference to an earlier reading."""
        return Spent(
            loop=self.loop - before.loop,
            threads=self.threads - before.threads,
            signers=self.signers - before.signers,
            database=self.database - before.database,
        )


def spent(server: int, database: Sequence[int] = ()) -> Spent:
    """What this server has spent with its children, and these processes of a database with theirs."""
    loop, whole = _seconds(Path(f"/proc/{server}/task/{server}/stat")), _seconds(Path(f"/proc/{server}/stat"))
    return Spent(
        loop=loop,
        threads=whole - loop,
        signers=_of(each.pid for each in _children(server)),
        database=_of(pid for one in database for pid in (one, *(each.pid for each in _children(one)))),
    )


def megabytes(server: int) -> float:
    """Return the memory of the server and its children: their proportional set size, in megabytes."""
    processes = [psutil.Process(server), *_children(server)]
    return float(sum(each.memory_full_info().pss for each in processes)) / 2**20


def _children(process: int) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        found += psutil.Process(process).children(recursive=True)
    return found


def _of(processes: Iterable[int]) -> float:
    return sum(_seconds(Path(f"/proc/{each}/stat"), with_ended_children=True) for each in processes)


def _seconds(stat: Path, *, with_ended_children: bool = False) -> float:
    """Fields 14 and 15 of a `stat` file of Linux; and 16 and 17."""
    try:
        fields = stat.read_text("ascii").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0.0
    return sum(map(int, fields[11 : 15 if with_ended_children else 13])) / os.sysconf("SC_CLK_TCK")
