"""The floor: what the unavoidable parts of a token cost in isolation, each done by the least code that does it.

    uv run --no-sync python -m benchmarks.tokens.floor

Needs `wrk`. Each part is measured alone, on a machine with nothing else to do. The sum is what a token would cost with
no product around it: no decision, no limits, no log, and no thread that waits for another.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import secrets
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any, Final, LiteralString, cast

import psycopg
import uvicorn
from authsec.jose import PrivateKey
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.store import event_delegations, events, sealed_events
from authsec_server.db import open_database
from authsec_server.keys.signing_processes import SigningProcesses
from authsec_server.web.uvicorn_protocol import BoundedProtocol
from starlette.types import Receive, Scope, Send

from benchmarks.tokens.authorities import running_postgresql
from benchmarks.tokens.processes import seconds_of_a_signature, spent

ROUNDS: Final = 3
SECONDS: Final = 4
TOKENS: Final = 6_000
BATCH: Final = 22  # tokens of one transaction, as 64 connections make them
AGENTS: Final = 10_000
ALONE: Final = 3_000  # commits of one token each
OCTETS: Final = 1_400  # of an answer, and of the text of an event


class _Constant:
    """Answers each request with the same octets."""

    def __init__(self) -> None:
        body = b'{"token":"' + b"x" * OCTETS + b'"}'
        self._answer = b"content-length: %d\r\ncontent-type: application/json\r\n\r\n%b" % (len(body), body)

    def begin(self, _scope: Scope) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def answer(self, _scope: Scope) -> bytes:
        return self._answer

    def answered(self, _scope: Scope) -> None:
        """Log nothing."""


async def _no_application(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("each request is answered directly")


def _serve(listener: socket.socket) -> None:
    protocol: Any = partial(BoundedProtocol, direct=_Constant())
    config = uvicorn.Config(_no_application, http=protocol, log_config=None, lifespan="off", server_header=False)
    uvicorn.Server(config).run(sockets=[listener])


def http() -> float:
    """Seconds to read a request and write an answer: uvicorn, uvloop, httptools."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        process = multiprocessing.get_context("fork").Process(target=_serve, args=(listener,))
        process.start()
        assert process.pid is not None
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/token?client_id={secrets.token_hex(18)}"
            time.sleep(1)  # until it serves
            before = spent(process.pid)
            command = [
                "wrk",
                "-t1",
                "-c64",
                f"-d{SECONDS}s",
                "-H",
                f"Authorization: Bearer {secrets.token_hex(300)}",
                url,
            ]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            requests = int(next(line for line in said.splitlines() if "requests in" in line).split()[0])
            return spent(process.pid).since(before).total / requests
        finally:
            process.terminate()
            process.join(10)


def signature_elsewhere() -> float:
    """Seconds to have a signature made by a signing process: frames, sockets and the signature itself."""
    key, inputs = PrivateKey.generate_rsa(), [secrets.token_bytes(900) for _ in range(TOKENS // 3)]
    its = SigningProcesses(1, {"key": key}.get)
    its.start()

    async def all_of_them() -> float:
        await asyncio.sleep(1)  # until it has started
        before = spent(os.getpid())
        for first in range(0, len(inputs), BATCH):
            signing = [its.sign("key", each) for each in inputs[first : first + BATCH]]
            await asyncio.gather(*(each for each in signing if each is not None))
        return spent(os.getpid()).since(before).total

    try:
        return asyncio.run(all_of_them()) / len(inputs)
    finally:
        its.close()


def record(agents: int = 1) -> float:
    """Seconds to insert the event of a token and its link, in transactions of `BATCH`, with the driver alone.

    The agents come in random order. The first tokens fill the indexes, and do not count.
    """
    delegations = [secrets.token_hex(18) for _ in range(agents)]
    with _database() as connection:
        seconds = []
        for number in range(1, 3 * TOKENS, BATCH):
            chosen = [secrets.randbelow(agents) for _ in range(BATCH)]
            rows = [_event(number + at, agent) for at, agent in enumerate(chosen)]
            links = [(delegations[agent], number + at) for at, agent in enumerate(chosen)]
            began = time.thread_time()
            _commit(connection, rows, links)
            seconds.append(time.thread_time() - began)
        return median(seconds[len(seconds) // 3 :]) / BATCH


def commits_alone(*, checkpoints: bool = True) -> list[float]:
    """Seconds on the clock of commits with one token each, in ascending order. Each commit waits for the disk.

    Without `checkpoints`, SQLite never moves pages of the write-ahead log into the file.
    """
    with _database() as connection:
        if not checkpoints:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        seconds = []
        for number in range(1, ALONE):
            rows, links = [_event(number)], [(secrets.token_hex(18), number)]
            began = time.perf_counter()
            _commit(connection, rows, links)
            seconds.append(time.perf_counter() - began)
        return sorted(seconds)


def _commit(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], links: Sequence[tuple[str, int]]) -> None:
    """Record the events of these tokens and their links in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("SELECT version, change_id FROM authority").fetchone()
    connection.executemany(_insert(events.name, _COLUMNS), rows)
    connection.executemany(_insert(event_delegations.name, ("delegation_id", "event_id")), links)
    connection.execute("COMMIT")


def record_on_postgresql() -> float:
    """The same on PostgreSQL, with its own processes: two statements that insert, between the lock and the commit."""
    with _postgresql() as (connection, process):
        began, batches = spent(os.getpid(), [process]), range(1, TOKENS, BATCH)
        for number in batches:
            rows = [_event(number + at) for at in range(BATCH)]
            links = [(secrets.token_hex(18), number + at) for at in range(BATCH)]
            connection.execute("SELECT pg_advisory_xact_lock_shared(1)")
            connection.execute("SELECT version, change_id FROM authority").fetchone()
            connection.execute(_insert_all(events.name, _COLUMNS), [*chain.from_iterable(rows)])
            connection.execute(
                _insert_all(event_delegations.name, ("delegation_id", "event_id")), [*chain.from_iterable(links)]
            )
            connection.commit()
        return spent(os.getpid(), [process]).since(began).total / (len(batches) * BATCH)


def seal_on_postgresql() -> float:
    """The same as `seal` on PostgreSQL, with its own processes."""
    with _postgresql() as (connection, process):
        for number in range(1, TOKENS, BATCH):
            rows = [_event(number + at) for at in range(BATCH)]
            connection.execute(_insert_all(events.name, _COLUMNS), [*chain.from_iterable(rows)])
        connection.commit()
        began = spent(os.getpid(), [process])
        found = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM events ORDER BY id").fetchall()  # noqa: S608 - names from here
        hashes = [sha256("".join(map(str, row)).encode()).digest() for row in found]
        Tree().with_leaves(hashes)
        with connection.cursor().copy("COPY sealed_events (position, event_id, hash) FROM STDIN") as copy:
            for at, (row, hash_) in enumerate(zip(found, hashes, strict=True)):
                copy.write_row((at, row[0], hash_))
        connection.commit()
        return spent(os.getpid(), [process]).since(began).total / len(found)


def seal() -> float:
    """Seconds to read an event as it is stored, hash it, append it to the tree and insert its leaf."""
    with _database() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_insert(events.name, _COLUMNS), [_event(number) for number in range(1, TOKENS)])
        began = time.thread_time()
        rows = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM events ORDER BY id").fetchall()  # noqa: S608 - names from here
        hashes = [sha256("".join(map(str, row)).encode()).digest() for row in rows]
        Tree().with_leaves(hashes)
        leaves = [(at, row[0], hash_) for at, (row, hash_) in enumerate(zip(rows, hashes, strict=True))]
        connection.executemany(_insert(sealed_events.name, ("position", "event_id", "hash")), leaves)
        connection.execute("COMMIT")
        return (time.thread_time() - began) / len(rows)


_COLUMNS: Final = tuple(each.name for each in events.columns if each.name != "count_key")
_JSON: Final = json.dumps([{"id": "x" * 36, "name": "Customer Support Agent, as Helper"}])


def _event(number: int, agent: int = 0) -> tuple[Any, ...]:
    its = {
        "id": number,
        "at": "2026-01-01 00:00:00.000000",
        "kind": "token.issued",
        "request_id": f"req_{number:024}",
        "client_id": f"{agent:036}",
        "client_name": "Helper",
        "delegations": _JSON,
        "roles": _JSON,
        "decision": "granted",
        "reason": "",
        "address": "127.0.0.1",
        "authority_version": 1,
        "jti": f"{number:032x}",
        "kid": "x" * 43,
        "token_sha256": sha256(str(number).encode()).hexdigest(),
        "expires_at": "2026-01-01 01:00:00.000000",
        "detail": json.dumps({"actions": ["customers:read"], "audience": ["authsec-api"], "attestation": "none"}),
        "occurrences": 1,
    }
    return tuple(its.get(name) for name in _COLUMNS)


def _insert(table: str, names: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - names from here


def _insert_all(table: str, names: Sequence[str]) -> LiteralString:
    row = f"({', '.join(['%s'] * len(names))})"
    return cast("LiteralString", f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * BATCH)}")  # noqa: S608 - names from here


@contextmanager
def _postgresql() -> Iterator[tuple[psycopg.Connection[Any], int]]:
    """A connection to a PostgreSQL of its own with AuthSec's schema, and the id of its first process."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        running_postgresql(Path(folder) / "data") as (url, process),
    ):
        Path(folder).chmod(0o755)
        database = open_database(url)
        database.migrate()
        database.close()
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            yield connection, process


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "authsec.sqlite3"
        database = open_database(f"sqlite:///{file}")
        database.migrate()
        database.close()
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=OFF")  # there is no delegation here
            yield connection


ANYWHERE: Final[dict[str, Callable[[], float]]] = {
    "read a request, write an answer": http,
    "a signing process, with the signature": signature_elsewhere,
}
ON_SQLITE: Final[dict[str, Callable[[], float]]] = {"insert the event": record, "seal the event": seal}
ON_POSTGRESQL: Final[dict[str, Callable[[], float]]] = {
    "PostgreSQL: insert the event": record_on_postgresql,
    "PostgreSQL: seal the event": seal_on_postgresql,
}
PARTS: Final = ANYWHERE | ON_SQLITE | ON_POSTGRESQL


def main() -> None:
    """Measure each part in turn, and print the medians."""
    taken: dict[str, list[float]] = {name: [] for name in PARTS}
    signatures = []
    for _ in range(ROUNDS):
        signatures.append(seconds_of_a_signature())
        for name, part in PARTS.items():
            taken[name].append(part())
    signature = median(signatures)
    for name, seconds in taken.items():
        print(f"{median(seconds) * 1e6:6.0f} µs  {min(seconds) * 1e6:.0f} to {max(seconds) * 1e6:.0f}  {name}")
    for database, parts in (("SQLite", ON_SQLITE), ("PostgreSQL", ON_POSTGRESQL)):
        floor = sum(median(taken[name]) for name in ANYWHERE | parts)
        print(f"{floor * 1e6:6.0f} µs  {database}: {floor / signature:.2f} signatures of {signature * 1e6:.0f} µs")
    print(f"{record(AGENTS) * 1e6:6.0f} µs  insert the event, {AGENTS:,} agents in random order")
    for name, checkpoints in (("", True), (", without checkpoints of the write-ahead log", False)):
        all_of_them = commits_alone(checkpoints=checkpoints)
        median_, highest = (1000 * all_of_them[len(all_of_them) * percent // 100] for percent in (50, 99))
        print(f"{highest:6.2f} ms  p99 of a commit with one token{name}; p50 {median_:.2f} ms")


if __name__ == "__main__":
    main()
