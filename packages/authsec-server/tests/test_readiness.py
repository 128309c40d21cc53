"""`/readyz` and `/healthz`: what each kind of fault makes of them, with real databases, locks, disks and processes."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import psycopg
import pytest
from authsec_server.app.readiness_probe import WORKERS_STUCK, ReadinessProbe
from authsec_server.audit.pages import above
from authsec_server.audit.sealing import sealer, store
from authsec_server.audit.sealing.checkpoints import Checkpoint
from authsec_server.db import Database, open_database
from authsec_server.db.sqlite import SQLite
from authsec_server.failures import Fault, Unavailable
from authsec_server.web.health import PATIENCE, Liveness, Readiness, ReadinessProblem
from databases import settings_for
from process_metrics import metric
from sqlalchemy import make_url
from starlette.testclient import TestClient

HOLDER = """
import sqlite3, sys, psycopg
url, key = sys.argv[1], int(sys.argv[2])
if url.startswith("sqlite"):
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
else:
    connection = psycopg.connect(url.replace("postgresql+psycopg", "postgresql"))
    connection.execute("SELECT pg_advisory_lock(%s)", [key])
print("held", flush=True)
sys.stdin.read()
"""
LOAD = """
import asyncio, sys
asked = b"GET /authsec/uflow/sdk/delegation-token?client_id=x HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n"

async def ask():
    reader, writer = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    while True:
        writer.write(asked)
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\\r\\n")[0]
        await reader.readexactly(int(length))

async def all_of_them():
    await asyncio.gather(*(ask() for _ in range(700)))

asyncio.run(all_of_them())
"""
needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="only root mounts a file system that can be filled"
)


@dataclass
class Probed:
    """A probe of a database, and what it makes the endpoints say. Monotonic time stands until it is moved."""

    database: Any
    ahead: timedelta = timedelta()
    seconds: float = 1000.0
    liveness: Liveness = field(default_factory=Liveness)

    def __post_init__(self) -> None:
        self.readiness = Readiness(lambda: self.seconds)
        self.probe = ReadinessProbe(
            self.database,
            self.readiness,
            self.liveness,
            now=lambda: datetime.now(UTC) + self.ahead,
            monotonic=lambda: self.seconds,
        )

    @property
    def status(self) -> str:
        problem = self.readiness.problem()
        return "ready" if problem is None else problem.status

    def after(self, seconds: float) -> str:
        """The status once so much time has passed."""
        self.seconds += seconds
        return self.status


@pytest.fixture
def probed(database: Database) -> Probed:
    return Probed(database)


def test_a_server_is_not_ready_before_its_first_probe_has_succeeded(probed: Probed) -> None:
    assert probed.status == "starting"
    probed.probe.attempt()
    assert probed.status == "ready"


def test_a_probe_writes_and_leaves_neither_an_event_nor_a_new_authority_version(probed: Probed) -> None:
    def seen() -> Any:
        return probed.database.read(lambda tx: (tx.version, above(tx.connection, 0, 1000)))

    before, written = seen(), writes(probed.database)
    for number in range(1, 4):
        probed.probe.attempt()
        assert writes(probed.database) >= written + number
    assert (probed.status, seen()) == ("ready", before)


def writes(database: Database) -> int:
    """How many transactions have written: SQLite has the number of the probe, PostgreSQL counts all of them."""
    number = {
        "sqlite": "PRAGMA user_version",
        "postgresql": "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)",
    }
    found: int = database.read(lambda tx: tx.connection.exec_driver_sql(number[database.dialect]).scalar_one())
    return found


@contextmanager
def held_by_another_process(url: str) -> Iterator[None]:
    """Meanwhile, another process holds the lock under which every event is recorded."""
    from authsec_server.db.locks import AUTHORITY_LOCK

    command = [sys.executable, "-c", HOLDER, url, str(AUTHORITY_LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            yield
        finally:
            holder.kill()


@pytest.mark.postgresql_suffices  # test_frozen_server.py has a locked file of SQLite
def test_a_lock_that_another_process_holds_is_named_after_ten_seconds(probed: Probed, database_url: str) -> None:
    probed.probe.attempt()
    with held_by_another_process(database_url):
        probed.probe.attempt()
        assert probed.after(9) == "ready", "an apply holds it for two or three seconds"
        assert probed.after(1) in {Fault.LOCKED, Fault.AUTHORITY_LOCKED}
        assert probed.liveness.problem() is None
    probed.probe.attempt()
    assert probed.status == "ready"


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, of that size."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Meanwhile, there is no room left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    yield
    filler.unlink()


@needs_root
def test_a_full_disk_of_sqlite_is_named(tmp_path: Path, migrated_file: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        database = open_database(f"sqlite:///{shutil.copy(migrated_file, disk)}")
        becomes_full(Probed(database), disk)
        database.close()


@needs_root
def test_a_full_disk_of_postgresql_is_named(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> None:
    """Its log has room here, so an event is refused where its table would grow."""
    path = Path("/tmp") / f"authsec-disk-{os.getpid()}"
    name = f"small_{os.getpid()}"
    with small_disk(path, 24) as disk, psycopg.connect(postgres_server, autocommit=True) as server:
        shutil.chown(disk, user_of(server))
        server.execute(f"CREATE TABLESPACE {name} LOCATION '{disk}'")
        server.execute(f"CREATE DATABASE {name} TABLESPACE {name}")
        url = make_url(postgres_server).set(drivername="postgresql+psycopg", database=name)
        database = open_database(url.render_as_string(hide_password=False))
        try:
            database.migrate()
            becomes_full(Probed(database), disk)
        finally:
            database.close()
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
            server.execute(f"DROP TABLESPACE {name}")
    path.rmdir()


def user_of(server: psycopg.Connection[Any]) -> str:
    """The user whose process PostgreSQL is."""
    found = server.execute("SELECT pg_backend_pid()").fetchone()
    assert found is not None
    return Path(f"/proc/{found[0]}").owner()


def becomes_full(its: Probed, disk: Path) -> None:
    its.probe.attempt()
    assert its.status == "ready"
    with filled(disk):
        its.probe.attempt()
        assert its.after(PATIENCE) == "disk_full"
        assert its.liveness.problem() is None
    its.probe.attempt()
    assert its.status == "ready"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("off", "says"), [(3600, "1:00:00 ahead of the database's clock"), (-40, "behind the database's clock")]
)
def test_a_clock_that_differs_from_postgresqls_is_named_at_once(probed: Probed, off: int, says: str) -> None:
    for tolerated in (-20, 20):
        probed.ahead = timedelta(seconds=tolerated)
        probed.probe.attempt()
        assert probed.status == "ready"
    probed.ahead = timedelta(seconds=off)
    probed.probe.attempt()
    problem = probed.readiness.problem()
    assert problem is not None
    assert (problem.status, says in problem.sentence) == ("clock_wrong", True)
    probed.ahead = timedelta()
    probed.probe.attempt()
    assert probed.status == "ready"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_clock_behind_the_last_signed_checkpoint_is_named_at_once(probed: Probed) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    checkpoint = Checkpoint(size=1, root="00" * 32, through=1, at=at, signed="a.signed.checkpoint")
    probed.database.append(lambda tx: store.add_checkpoint(tx.connection, checkpoint))
    probed.probe.attempt()
    assert probed.status == "ready"
    probed.ahead = -timedelta(hours=2)
    probed.probe.attempt()
    problem = probed.readiness.problem()
    assert problem is not None
    assert problem.status == "clock_wrong"
    assert "behind the last signed checkpoint" in problem.sentence
    assert probed.liveness.problem() is None


class HangingDatabase:
    """A database whose calls do not return until it is let."""

    damaged = None

    def look_at_file(self) -> None:
        """Find nothing."""

    def __init__(self) -> None:
        self.called, self.let = threading.Event(), threading.Event()

    def record(self, _work: Callable[[Any], Any]) -> Any:
        self.called.set()
        assert self.let.wait(20)
        raise Unavailable("It was away for long.")

    def has_stopped(self) -> bool:
        return False


def test_a_probe_that_hangs_makes_the_server_unready_by_the_age_of_the_last_success() -> None:
    database = HangingDatabase()
    its = Probed(database)
    its.readiness.probe_succeeded()
    hanging = threading.Thread(target=its.probe.attempt)
    hanging.start()
    assert database.called.wait(10)
    assert (its.after(9), its.after(1)) == ("ready", "database_unavailable")
    database.let.set()
    hanging.join(10)
    assert its.status == "database_unavailable"
    its.readiness.probe_succeeded()
    assert its.status == "ready"


def test_a_server_probes_its_database_about_once_a_second() -> None:
    """A load balancer learns within a second or two that the database works again."""
    probes = list[float]()

    class CountingDatabase(HangingDatabase):
        def record(self, _work: Callable[[Any], Any]) -> Any:
            probes.append(time.monotonic())
            raise Unavailable("It is away.")

    its = Probed(CountingDatabase())

    async def served() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(its.probe.run)
            await true_soon(lambda: len(probes) > 2)
            tasks.cancel_scope.cancel()

    anyio.run(served)
    first, second, third, *_ = probes
    assert second - first > 0.9, "a database that is away is not asked without a pause"
    assert min(second - first, third - second) < 2


def test_a_damaged_database_and_a_problem_of_another_part_are_told_at_once() -> None:
    database = HangingDatabase()
    its = Probed(database)
    its.readiness.probe_succeeded()
    database.damaged = "page 7"  # type: ignore[assignment]  # as the database sets it
    assert its.status == "database_damaged"
    database.damaged = None
    older = ReadinessProblem(status="older_than_checkpoints", sentence="The database is older than its checkpoints.")
    its.readiness.checks.append(lambda: older)
    assert its.readiness.problem() == older
    its.readiness.draining = True
    assert its.status == "draining"


def test_what_others_note_stands_beside_the_status(house: Any) -> None:
    its = house()
    its.authority.readiness.notes.append(lambda: {"audit_checkpoints": "not compared"})
    assert its.door().get("/readyz").json() == {"status": "ready", "audit_checkpoints": "not compared"}
    its.authority.readiness.draining = True
    answer = its.door().get("/readyz")
    assert (answer.status_code, answer.json()) == (
        503,
        {"status": "draining", "problem": "The server is shutting down.", "audit_checkpoints": "not compared"},
    )


def test_neither_endpoint_waits_for_a_worker_thread(house: Any) -> None:
    """700 connections with token requests made `/readyz` wait for ten seconds: it stood in their queue."""
    its = house()
    door, leave = its.door(), threading.Event()
    waiting = [its.portal.start_task_soon(anyio.to_thread.run_sync, leave.wait, 20) for _ in range(100)]
    try:
        deadline = time.monotonic() + 10
        while free_workers(its) > 0:
            assert time.monotonic() < deadline
        assert (door.get("/readyz").status_code, door.get("/healthz").status_code) == (200, 200)
        assert free_workers(its) == 0, "the endpoints were asked while no thread was free"
    finally:
        leave.set()
        for each in waiting:
            each.result(20)


def free_workers(its: Any) -> float:
    async def free() -> float:
        return anyio.to_thread.current_default_thread_limiter().available_tokens

    found: float = its.portal.call(free)
    return found


async def true_soon(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await anyio.sleep(0.02)
    raise AssertionError("it did not come true")


def test_a_process_whose_worker_threads_all_hang_for_minutes_is_not_alive() -> None:
    its = Probed(HangingDatabase())
    leave, said = threading.Event(), list[str]()

    async def served() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(anyio.to_thread.run_sync, leave.wait, 20)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(its.probe.run)
            await anyio.wait_all_tasks_blocked()
            assert its.liveness.problem() is None
            its.seconds += WORKERS_STUCK
            problem = its.liveness.problem()
            said.append(problem.status if problem else "alive")
            leave.set()
            await true_soon(lambda: its.liveness.problem() is None)
            tasks.cancel_scope.cancel()

    try:
        anyio.run(served)
    finally:
        its.database.let.set()
    assert said == ["workers_stuck"]


def test_a_process_whose_probe_has_ended_is_not_alive() -> None:
    class EndingDatabase(HangingDatabase):
        def record(self, _work: Callable[[Any], Any]) -> Any:
            raise SystemExit  # it ends the thread

    its = Probed(EndingDatabase())
    said = list[str]()

    async def served() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(its.probe.run)
            await true_soon(lambda: its.liveness.problem() is not None)
            problem = its.liveness.problem()
            said.append(problem.status if problem else "alive")
            tasks.cancel_scope.cancel()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading, "excepthook", lambda _: None)
        anyio.run(served)
    assert said == ["probe_stopped"]


def test_a_process_whose_sqlite_writer_has_ended_is_not_alive(tmp_path: Path, migrated_file: Path) -> None:
    database = open_database(f"sqlite:///{shutil.copy(migrated_file, tmp_path)}")
    assert isinstance(database, SQLite)
    its = Probed(database)
    its.probe.attempt()
    assert its.liveness.problem() is None
    writer = database._writer
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading, "excepthook", lambda _: None)
        writer._queue.put("not a job")  # type: ignore[arg-type]  # a mistake in the program that ends the thread
        assert writer._thread is not None
        writer._thread.join(10)
    problem = its.liveness.problem()
    database.close()
    assert problem is not None
    assert problem.status == "writer_stopped"


def test_the_gauge_says_whether_the_server_is_ready(probed: Probed) -> None:
    async def served_until(value: float) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(probed.probe.run)
            await true_soon(lambda: metric("authsec_ready") == value)
            tasks.cancel_scope.cancel()

    anyio.run(served_until, 1.0)
    probed.readiness.draining = True
    anyio.run(served_until, 0.0)


# -- whole processes


@dataclass
class Server:
    """`authsec serve` in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str

    def asked(self, path: str) -> tuple[int, Any]:
        with httpx2.Client(trust_env=False, timeout=20) as client:
            answer = client.get(self.url + path)
            return answer.status_code, answer.json()["status"]

    def becomes(self, status: str, within: float) -> None:
        deadline = time.monotonic() + within
        while (found := self.asked("/readyz")[1]) != status:
            assert self.asked("/healthz") == (200, "ok")
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


@contextmanager
def served(data: Path, log: Path, *options: str) -> Iterator[Server]:
    command = [str(Path(sys.executable).with_name("authsec")), "serve", "--data", str(data), "--port", "0", *options]
    key = log.with_name("master.key")
    key.write_bytes(base64.b64encode(b"k" * 32))
    key.chmod(0o600)
    with log.open("wb") as file:
        environment = os.environ | {"AUTHSEC_SERVER_MASTER_KEY_FILE": str(key)}
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        deadline = time.monotonic() + 30
        while not (found := re.search(r"issuer +(\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        its = Server(process, found[1])
        with suppress(httpx2.TransportError):
            its.asked("/readyz")
        yield its
    finally:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        process.wait(30)


@pytest.mark.soak
def test_a_server_behind_a_held_lock_is_unready_and_alive_and_ready_again(tmp_path: Path) -> None:
    with served(tmp_path / "data", tmp_path / "log") as its:
        its.becomes("ready", 20)
        with held_by_another_process(f"sqlite:///{tmp_path / 'data' / 'authsec.sqlite3'}"):
            its.becomes("write_lock_held", 30)
        its.becomes("ready", 20)


@pytest.mark.soak
@needs_root
def test_a_server_on_a_full_disk_is_unready_and_alive_and_ready_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk, served(disk / "data", tmp_path / "log") as its:
        its.becomes("ready", 20)
        with filled(disk):
            its.becomes("disk_full", 30)
        its.becomes("ready", 20)


@pytest.mark.soak
def test_seven_hundred_connections_do_not_delay_an_answer(tmp_path: Path, database_url: str) -> None:
    options = [] if database_url.startswith("sqlite") else ["--database", database_url]
    with served(tmp_path / "data", tmp_path / "log", *options) as its:
        its.becomes("ready", 20)
        host, port = its.url.removeprefix("http://").split(":")
        load = subprocess.Popen([sys.executable, "-c", LOAD, host, port], stdin=subprocess.PIPE)
        took = list[float]()
        try:
            for _ in range(20):
                began = time.monotonic()
                assert its.asked("/readyz") == (200, "ready")
                took.append(time.monotonic() - began)
                time.sleep(0.1)
        finally:
            load.kill()
            load.communicate()
        assert sorted(took)[10] < 4, "it stood in the queue of token requests"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_server_whose_clock_is_wrong_signs_no_checkpoint(
    house: Any, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of a clock that is ahead would make servers whose clocks are right unready until that time."""
    monkeypatch.setattr(sealer, "SECONDS", 0.1)
    its = house(**settings_for(database_url, tmp_path)).authority  # at a noon that is over
    with TestClient(its.app, base_url="http://127.0.0.1:7468") as client:
        for _ in range(5):  # each time long enough to seal twice
            time.sleep(0.25)
            assert client.get("/readyz").json()["status"] in {"clock_wrong", "starting"}
        assert its.database.read(lambda tx: store.last_signed(tx.connection)) is None
