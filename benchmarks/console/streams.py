"""Whether people who watch the audit log live slow down the pages of others.

    uv run --no-sync python benchmarks/console/streams.py sqlite:////tmp/company/authsec.sqlite3

It serves the database that `fill.py` has filled by `authsec serve`, has events come in, 10 a second, and measures pages
over HTTP, as `pages.py` does: first while nobody watches, then while 20 browsers have Activity open.
"""

from __future__ import annotations

import argparse
import http.client
import os
import select as waiting
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from authsec_server.audit.event_numbers import next_numbers
from authsec_server.audit.pages import highest
from authsec_server.audit.store import events, with_mac
from authsec_server.db import Database, Tx, open_database
from authsec_server.settings import ENV_PREFIX
from pages import opened, sign_in, where
from sqlalchemy import insert, select
from starlette.testclient import TestClient

from benchmarks.event_keys import give_event_key

WATCHERS, A_SECOND = 20, 10
RUNS, WARM = 100, 5
AUTHSEC = "from authsec.cli import main; main()"
PATHS = ("/console", "/console/clients", "/console/activity")


def main() -> None:
    """Measure without and with watchers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", help="SQLAlchemy URL of a database that fill.py has filled")
    url = parser.parse_args().database
    headers = {"Cookie": _cookie(url)}
    with served(url) as port, growing(url) as newest:
        print(f"{'least':>8} {'median':>8} {'most':>8}  page   (ms)")
        for number in (0, WATCHERS):
            with watching(port, headers, number, newest()) as seen:
                for path in PATHS:
                    _measure(port, headers, path, f"{number} watching")
            if number:
                print(f"each of the {number} saw {min(seen)} to {max(seen)} events")


def _cookie(url: str) -> str:
    with opened(url) as authority, TestClient(authority.app, base_url="http://127.0.0.1") as client:
        sign_in(authority, client)
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


@contextmanager
def served(url: str) -> Iterator[int]:
    """`authsec serve` on the database, at a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        settings = {f"{ENV_PREFIX}{name.upper()}": value for name, value in where(url, Path(folder)).items()}
        command = [sys.executable, "-c", AUTHSEC, "serve", "--port", str(port)]
        quiet = subprocess.DEVNULL
        server = subprocess.Popen(command, env=os.environ | settings, stdout=quiet, stderr=quiet)
        try:
            _await(port, server)
            yield port
        finally:
            server.terminate()
            server.wait(30)


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("authsec serve ended")


@contextmanager
def growing(url: str) -> Iterator[Callable[[], int]]:
    """The newest token's event once more, so many times a second, as other servers of this database would write it.

    Gives what tells the number of the newest event.
    """
    database, done = open_database(url), threading.Event()
    give_event_key(database, url)
    row = database.read(_newest)

    def grow() -> None:
        while not done.wait(1 / A_SECOND):
            _write(database, row | {"at": datetime.now(UTC)})

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield lambda: database.read(lambda tx: highest(tx.connection))
    finally:
        done.set()
        thread.join()
        database.close()


def _newest(tx: Tx) -> dict[str, Any]:
    tokens = select(events).where(events.c.jti != "").order_by(events.c.id.desc()).limit(1)
    row = dict(tx.connection.execute(tokens).one()._mapping)
    del row["id"]
    return row


def _write(database: Database, row: dict[str, Any]) -> None:
    def work(tx: Tx) -> None:
        (number,) = next_numbers(tx.connection, 1, row["at"])
        tx.connection.execute(insert(events), [with_mac({**row, "id": number}, tx.event_key)])

    database.record(work)


@contextmanager
def watching(port: int, headers: Mapping[str, str], number: int, after: int) -> Iterator[list[int]]:
    """So many streams, each read as it comes; at the end, how many events above `after` each has got."""
    seen, done = [0] * number, threading.Event()
    with ExitStack() as stack:
        streams = [_stream(stack, port, headers, after) for _ in range(number)]

        def read() -> None:
            while not done.is_set():
                ready, _, _ = waiting.select(streams, [], [], 0.2)
                for each in ready:
                    seen[streams.index(each)] += each.recv(1 << 20).count(b"id: ")

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield seen
        finally:
            done.set()
            thread.join()


def _stream(stack: ExitStack, port: int, headers: Mapping[str, str], after: int) -> socket.socket:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    lines = [f"{name}: {value}" for name, value in ({"Host": f"127.0.0.1:{port}"} | dict(headers)).items()]
    connection.sendall("\r\n".join([f"GET /console/activity/stream?after={after} HTTP/1.1", *lines, "", ""]).encode())
    return connection


def _measure(port: int, headers: Mapping[str, str], path: str, note: str) -> None:
    connection, taken = http.client.HTTPConnection("127.0.0.1", port), []
    for _ in range(WARM + RUNS):
        begin = time.perf_counter()
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        answer.read()
        taken.append((time.perf_counter() - begin) * 1000)
        if answer.status != 200:
            raise SystemExit(f"{path}: status {answer.status}")
    connection.close()
    taken = sorted(taken[WARM:])
    print(f"{taken[0]:8.1f} {median(taken):8.1f} {taken[-1]:8.1f}  {path}, {note}", flush=True)


if __name__ == "__main__":
    main()
