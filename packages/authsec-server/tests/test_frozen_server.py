"""One server process is frozen (SIGSTOP, a pause of its machine) while an administrator revokes at another."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import processes
import pytest
from authsec_server.audit.model import EventKind
from authsec_server.db import Database, Tx, open_database, sqlite_writer
from authsec_server.db import sqlite as sqlite_module
from authsec_server.db.served import last_issuer
from authsec_server.delegations import service as delegations
from authsec_server.failures import Fault, OutcomeUnknown, Unavailable
from served_process import served
from sqlalchemy import text

WRITER = Path(__file__).with_name("frozen_writer.py")
BOUND = 3.0  # seconds that one frozen server may delay a revocation, by the issue
MARGIN = 3.0  # for a busy machine
postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def version(tx: Tx) -> int:
    return tx.version


@contextmanager
def frozen_in(verb: str, url: str, *how: str) -> Iterator[Callable[[], str]]:
    """A process that is frozen inside a transaction of this kind. Calling thaws it: what became of the transaction."""
    with tempfile.TemporaryDirectory() as folder:
        go, output = Path(folder) / "go", Path(folder) / "output"
        command = [sys.executable, str(WRITER), verb, url, str(go), *how]
        process = processes.start(command, env=os.environ, cwd=Path(folder), output=output, fork=True)
        try:
            until = time.monotonic() + 30
            while output.read_text("utf-8") != "inside\n":
                assert process.poll() is None, output.read_text("utf-8")
                assert time.monotonic() < until
                time.sleep(0.01)
            process.send_signal(signal.SIGSTOP)

            def thaw() -> str:
                go.touch()
                process.send_signal(signal.SIGCONT)
                process.wait(30)
                return output.read_text("utf-8").removeprefix("inside\n").strip()

            yield thaw
        finally:
            process.kill()


def seconds_of(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


@postgresql
@pytest.mark.parametrize("verb", ["append", pytest.param("record", marks=pytest.mark.soak)])
def test_a_server_that_is_frozen_while_it_records_delays_a_revocation_for_three_seconds_at_most(
    database: Database, database_url: str, verb: str
) -> None:
    with frozen_in(verb, database_url) as thaw:
        assert seconds_of(lambda: database.change(version)) < BOUND + MARGIN
        assert thaw().startswith("unavailable"), "and its record was not made"
    assert database.read(version) == 1
    assert database.read(last_issuer) != "frozen"


@postgresql
@pytest.mark.parametrize("verb", ["record", pytest.param("append", marks=pytest.mark.soak)])
def test_a_server_that_is_frozen_while_it_writes_many_rows_delays_a_revocation_for_three_seconds_at_most(
    database: Database, database_url: str, verb: str
) -> None:
    """PostgreSQL ends no transaction whose client has sent a statement and not said that it is the last."""
    with frozen_in(verb, database_url, "many") as thaw:
        assert seconds_of(lambda: database.change(version)) < BOUND + MARGIN
        assert thaw().startswith("unavailable"), "and its record was not made"
    assert database.read(version) == 1
    assert database.read(last_issuer) == ""


@pytest.mark.soak  # a record that is frozen is in every run
@postgresql
def test_a_record_that_is_never_idle_and_never_ends_holds_its_lock_for_three_seconds_at_most(
    database: Database,
) -> None:
    """A frozen server may have sent half a statement: PostgreSQL does not take that for idle."""

    def goes_on(tx: Tx) -> None:
        began = time.monotonic()
        while time.monotonic() - began < BOUND + MARGIN:
            tx.connection.execute(text("SELECT pg_sleep(0.01)"))

    with pytest.raises(Unavailable) as raised:
        database.record(goes_on)
    assert not isinstance(raised.value, OutcomeUnknown)
    assert database.record(version) == 0


@postgresql
@pytest.mark.parametrize("verb", ["change", pytest.param("rehearse", marks=pytest.mark.soak)])
def test_an_apply_may_hold_the_lock_for_longer_than_a_record(database: Database, database_url: str, verb: str) -> None:
    """Others wait for the lock, and the apply is not broken off between two statements."""
    with frozen_in(verb, database_url) as thaw:
        waiting = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            database.record(version)
        assert raised.value.fault is Fault.AUTHORITY_LOCKED
        assert 2.5 < time.monotonic() - waiting < BOUND + MARGIN
        assert thaw() == "committed"
    assert database.record(version) == (1 if verb == "change" else 0)


@postgresql
def test_postgresql_ends_each_transaction_of_a_server_that_is_frozen(database: Database) -> None:
    """A change has a bound of its own. Before PostgreSQL 17, a record has no other than that of its idle time."""

    def bounds(tx: Tx) -> list[str]:
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        return [tx.connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]

    assert database.record(bounds) == ["3s", "5s", "2s"]
    assert database.append(bounds) == ["5s", "15s", "2500ms"]
    assert [database.change(bounds), database.rehearse(bounds)] == [["5s", "15s", "15s"]] * 2


@pytest.mark.soak  # test_authority_lock.py has the order of tokens and revocations
@postgresql
def test_no_token_is_recorded_after_a_revocation_by_a_server_that_was_frozen_under_load(
    estate: Any, database_url: str, tmp_path: Path
) -> None:
    estate.role()
    client_id = estate.agent().id
    delegation = estate.delegate().delegation.id
    over = threading.Event()
    with served(database_url, tmp_path) as its, ThreadPoolExecutor(12) as threads:

        def ask() -> None:
            with suppress(httpx2.HTTPError):
                while not over.wait(0.05):
                    its.token(client_id, seconds=20)

        asking = [threads.submit(ask) for _ in range(12)]
        try:
            for _ in range(3):
                time.sleep(1)
                its.freeze()
                disabling = seconds_of(
                    lambda: estate.do(lambda tx, act: delegations.disable(tx, act, delegation, estate.terms))
                )
                assert disabling < BOUND + MARGIN
                its.thaw()
                time.sleep(0.5)
                estate.do(lambda tx, act: delegations.enable(tx, act, delegation, estate.terms))
        finally:
            its.thaw()
            over.set()
        for each in asking:
            each.result()
    enabled, issued = True, 0
    for event in estate.events():
        if event.kind in {EventKind.DELEGATION_DISABLED, EventKind.DELEGATION_ENABLED}:
            enabled = event.kind is EventKind.DELEGATION_ENABLED
        elif event.kind is EventKind.TOKEN_ISSUED:
            issued += 1
            assert enabled, "a token was recorded after the revocation"
    assert issued > 20, "there was no load"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers of this process wait for the lock of another for a second, not for five."""
    monkeypatch.setattr(sqlite_module, "BUSY_MILLISECONDS", 1000)
    monkeypatch.setattr(sqlite_writer, "START_SECONDS", 1.5)
    monkeypatch.setattr(sqlite_writer, "MAX_BATCH", 4)


@sqlite
@pytest.mark.usefixtures("impatient")
def test_those_who_wait_for_a_frozen_writer_are_refused_and_nothing_of_it_is_made_later(database_url: str) -> None:
    database = open_database(database_url)
    made: list[int] = []

    def mark(number: int) -> None:
        with pytest.raises(Unavailable) as raised:
            database.change(lambda _: made.append(number))
        assert raised.value.fault is Fault.LOCKED

    # More than fit into one batch: the later ones are cancelled while they are queued.
    count = 12 * sqlite_writer.MAX_BATCH
    with frozen_in("record", database_url) as thaw, ThreadPoolExecutor(count) as threads:
        waits = [threads.submit(seconds_of, lambda number=number: mark(number)) for number in range(count)]
        assert max(each.result() for each in waits) < sqlite_writer.START_SECONDS + MARGIN
        assert thaw() == "committed", "nobody can break it: it goes on where it was"
    assert database.change(version) == 1, "what was refused was not made"
    assert made == []
    database.close()


@pytest.mark.soak  # test_endpoint.py waits for such a lock
@sqlite
def test_a_server_answers_503_while_another_process_is_frozen_with_the_write_lock(
    estate: Any, database_url: str, tmp_path: Path
) -> None:
    estate.role()
    client_id = estate.agent().id
    estate.delegate()
    with served(database_url, tmp_path) as its:
        assert its.token(client_id).status_code == 200
        with frozen_in("record", database_url) as thaw:
            answer = its.token(client_id, seconds=sqlite_writer.START_SECONDS + MARGIN)
            assert (answer.status_code, answer.json()["retryable"]) == (503, True)
            assert answer.headers["retry-after"] == "1"
            assert "Another process has the write lock" in answer.json()["error"]
            thaw()
        assert its.token(client_id).status_code == 200


@sqlite
def test_a_server_with_a_frozen_writer_beside_it_ends_in_time(estate: Any, database_url: str, tmp_path: Path) -> None:
    del estate
    with served(database_url, tmp_path, AUTHSEC_SERVER_DRAIN_SECONDS="0") as its, frozen_in("record", database_url):
        its.process.send_signal(signal.SIGTERM)
        its.process.wait(15 + 5 + MARGIN)


@pytest.mark.soak  # it waits eleven seconds
@postgresql
def test_a_server_that_starts_waits_for_a_lock_that_another_one_has_left(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """For longer than one wait for a lock: what an ended server has left on PostgreSQL goes by itself."""
    with served(database_url, tmp_path):
        pass  # its keys are there from now on: the next start has less to write
    released = threading.Event()

    def hold(tx: Tx) -> None:
        tx.connection.exec_driver_sql("UPDATE authority SET issuer = 'held'")
        released.wait(30)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(database.change, hold)
        threading.Timer(11, released.set).start()
        with served(database_url, tmp_path) as server:
            assert released.is_set()
            deadline = time.monotonic() + MARGIN  # the first probe is a moment after the first answer
            while server.get("/readyz").status_code != 200:
                assert time.monotonic() < deadline, server.get("/readyz").text
                time.sleep(0.1)
        held.result()
