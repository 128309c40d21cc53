"""A PostgreSQL, or a proxy before it, that accepts connections and never answers."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authsec_server.db import Database, Tx, open_database, postgresql, postgresql_connection
from authsec_server.db import postgresql_hints as hints
from authsec_server.db.postgresql_connection import (
    BOUNDS,
    CONNECT_SECONDS,
    PING_SECONDS,
    POOL_SECONDS,
    SILENT_SECONDS,
    Bounds,
    driver_of,
)
from authsec_server.db.served import last_issuer
from authsec_server.failures import Fault, OutcomeUnknown, Unavailable
from served_process import Served, served
from silent_proxy import SilentProxy
from sqlalchemy import event, text

CLIENTS = 24
FEED = "/authsec/v1/revocations"
LONGEST = max(bounds.call_seconds for bounds in BOUNDS.values()) + PING_SECONDS + CONNECT_SECONDS
MARGIN = 5.0  # for a busy machine
pytestmark = [
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
    pytest.mark.soak,  # each waits for seconds; test_frozen_server has shorter silences
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of this process waits for a silent database for a second at most, not for five."""
    for name, seconds in {"PING_SECONDS": 0.5, "CONNECT_SECONDS": 2, "SILENT_SECONDS": 1.5}.items():
        monkeypatch.setattr(postgresql_connection, name, seconds)
    monkeypatch.setattr(postgresql, "POOL_SECONDS", 1.0)


@pytest.fixture
def proxy(database_url: str) -> Iterator[SilentProxy]:
    with SilentProxy(database_url) as started:
        yield started


@pytest.fixture
def behind(proxy: SilentProxy) -> Iterator[Database]:
    """The database behind the proxy, with one connection in the pool."""
    opened = open_database(proxy.url)
    opened.read(version)
    yield opened
    opened.close()


@pytest.fixture
def client_id(estate: Any) -> str:
    """An unattested agent with a delegation."""
    estate.role()
    agent: str = estate.agent().id
    estate.delegate()
    return agent


def version(tx: Tx) -> int:
    return tx.version


def seconds_of(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def silent(database: Database, verb: str, work: Callable[[Tx], object] = version) -> Unavailable:
    """The failure of a call to a silent database, which comes within the bound."""
    failures: list[Unavailable] = []

    def call() -> None:
        with pytest.raises(Unavailable) as raised:
            getattr(database, verb)(work)
        failures.append(raised.value)

    assert seconds_of(call) < LONGEST + MARGIN
    return failures[0]


@pytest.mark.parametrize(
    "verb",
    ["read", *(pytest.param(verb, marks=pytest.mark.soak) for verb in ("append", "change", "record", "rehearse"))],
)
def test_a_call_that_gets_no_answer_ends_and_the_next_one_after_the_silence_works(
    behind: Database, proxy: SilentProxy, verb: str
) -> None:
    proxy.fall_silent()
    assert silent(behind, verb).fault is Fault.SILENT
    proxy.forward()
    assert seconds_of(lambda: behind.change(version)) < CONNECT_SECONDS + MARGIN


@pytest.fixture
def due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call compares first where its session is."""
    monkeypatch.setattr(postgresql_connection, "HOME_SECONDS", -1.0)


@pytest.mark.usefixtures("due")
def test_a_silence_while_a_session_is_compared_ends_as_any_other(
    behind: Database, proxy: SilentProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = postgresql_connection.is_pinned

    def is_pinned(driver: Any, where: str, schema: str) -> bool:
        proxy.fall_silent()  # after the ping
        return genuine(driver, where, schema)

    behind.read(version)  # its session is compared from the next call on
    monkeypatch.setattr(postgresql_connection, "is_pinned", is_pinned)
    assert silent(behind, "read").fault is Fault.SILENT
    monkeypatch.undo()
    proxy.forward()
    assert seconds_of(lambda: behind.read(version)) < CONNECT_SECONDS + MARGIN


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits a second for the answer to a statement, not up to seventeen."""
    monkeypatch.setattr(Bounds, "call_seconds", 1.0)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("verb", ["record", "change", pytest.param("append", marks=pytest.mark.soak)])
def test_an_answer_to_a_commit_that_is_lost_leaves_the_outcome_open(
    behind: Any, proxy: SilentProxy, database: Database, verb: str
) -> None:
    """PostgreSQL has made the change; the caller cannot know."""
    event.listen(behind._engine, "commit", lambda _connection: proxy.keep_answers(), once=True)
    failure = silent(behind, verb, lambda tx: tx.connection.execute(text("UPDATE authority SET issuer = 'changed'")))
    assert isinstance(failure, OutcomeUnknown)
    assert failure.remedy == "The change may have been made. Check before you repeat it."
    assert database.read(last_issuer) == "changed"


@pytest.mark.usefixtures("short")
def test_a_silence_before_the_commit_changes_nothing(behind: Database, proxy: SilentProxy) -> None:
    def write(tx: Tx) -> None:
        tx.connection.execute(text("UPDATE authority SET version = version + 100"))
        proxy.fall_silent()
        tx.connection.execute(text("SELECT 1"))

    failure = silent(behind, "record", write)
    assert not isinstance(failure, OutcomeUnknown)
    proxy.forward()
    assert behind.read(version) == 0


def test_connections_that_a_proxy_has_forgotten_are_replaced(behind: Database, proxy: SilentProxy) -> None:
    """As behind a firewall that drops idle connections: nothing is closed, and nothing answers."""
    proxy.forget_connections()
    assert seconds_of(lambda: behind.record(version)) < PING_SECONDS + MARGIN


def test_one_caller_asks_a_silent_database_and_the_others_are_refused_at_once(
    behind: Database, proxy: SilentProxy
) -> None:
    proxy.fall_silent()
    silent(behind, "record")
    with ThreadPoolExecutor(CLIENTS) as threads:
        asking = [threads.submit(seconds_of, lambda: silent(behind, "record")) for _ in range(CLIENTS)]
        waits = sorted(each.result() for each in asking)
    assert waits[CLIENTS // 2] < 1, "most of them did not wait for a thread of their own to time out"
    proxy.forward()
    assert seconds_of(lambda: behind.record(version)) < CONNECT_SECONDS + MARGIN


def test_a_long_call_ends_soon_once_others_have_found_the_database_silent(behind: Database, proxy: SilentProxy) -> None:
    """A read may take seventeen seconds; it must not occupy its thread for so long for nothing."""
    silenced = threading.Event()

    def read(tx: Tx) -> None:
        proxy.fall_silent()
        silenced.set()
        tx.connection.execute(text("SELECT 1"))

    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(seconds_of, lambda: silent(behind, "read", read))
        assert silenced.wait(10)
        silent(behind, "record")
        assert reading.result() < SILENT_SECONDS + MARGIN
    proxy.forward()


def test_the_wait_for_a_pooled_connection_ends(behind: Database) -> None:
    over = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as threads:
        held = [threads.submit(behind.read, lambda _: over.wait(30)) for _ in range(16)]
        time.sleep(0.5)
        with pytest.raises(Unavailable) as raised:
            behind.read(version)
        assert raised.value.fault is Fault.BUSY
        over.set()
        for each in held:
            each.result()
    assert POOL_SECONDS < MARGIN
    assert behind.read(version) == 0


def test_the_kernel_gives_up_a_connection_as_well(behind: Database, proxy: SilentProxy) -> None:
    def limits(database: Database) -> dict[str, str]:
        return database.read(lambda tx: driver_of(tx.connection).info.get_parameters())

    ours = {"keepalives": "1", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
    assert limits(behind).items() >= {**ours, "tcp_user_timeout": "10000"}.items()
    with closing(open_database(f"{proxy.url}{'&' if '?' in proxy.url else '?'}tcp_user_timeout=4000")) as chosen:
        assert limits(chosen)["tcp_user_timeout"] == "4000", "as the operator says"


def test_hints_come_again_after_a_silence(
    behind: Database, proxy: SilentProxy, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "ASK_SECONDS", 0.2)
    monkeypatch.setattr(hints, "RETRY_SECONDS", 0.2)
    told = threading.Event()

    def hinted() -> None:
        deadline = time.monotonic() + 2 * PING_SECONDS + MARGIN
        while not told.wait(0.1):
            assert time.monotonic() < deadline
            database.change(version)
        told.clear()

    with behind.telling(told.set):
        hinted()
        proxy.forget_connections()  # the listener's hears nothing any more, and is not closed
        time.sleep(0.1)
        told.clear()
        hinted()


def answered_in_time(its: Served, client_id: str, until: float, seconds: float) -> list[int]:
    """The statuses of one client's requests for tokens; raises when an answer takes too long."""
    statuses = []
    while time.monotonic() < until:
        answer = its.token(client_id, seconds=seconds)
        statuses.append(answer.status_code)
        assert answer.status_code == 200 or "retry-after" in answer.headers
        time.sleep(0.2)
    return statuses


def begins_to_follow(its: Served) -> bool:
    """Whether a stream of the feed gives its first page."""
    headers, since = {"Accept": "text/event-stream"}, {"since": "0"}
    with httpx2.stream("GET", its.url + FEED, params=since, headers=headers, timeout=10, trust_env=False) as answer:
        return any(line.startswith("data: ") for line in answer.iter_lines())


@pytest.mark.soak  # in a process of this test, each bound is in every run
@pytest.mark.parametrize("silence", [8, 20])
def test_a_server_outlasts_a_silence_under_load_and_ends_in_the_next_one(
    proxy: SilentProxy, tmp_path: Path, client_id: str, silence: float
) -> None:
    with served(proxy.url, tmp_path, AUTHSEC_SERVER_DRAIN_SECONDS="1") as its, ThreadPoolExecutor(CLIENTS) as threads:
        assert its.token(client_id).status_code == 200
        until = time.monotonic() + silence + 4
        clients = [threads.submit(answered_in_time, its, client_id, until, LONGEST + MARGIN) for _ in range(CLIENTS)]
        time.sleep(1)
        proxy.fall_silent()
        time.sleep(silence - 1)
        assert its.get("/healthz", seconds=2).status_code == 200, "its threads wait"
        assert its.get(FEED, seconds=LONGEST + MARGIN, since="0").status_code == 503
        proxy.forward()
        recovered = time.monotonic()
        while its.token(client_id).status_code != 200:
            assert time.monotonic() - recovered < MARGIN
        while its.get(FEED, since="0").status_code != 200:
            assert time.monotonic() - recovered < MARGIN
        assert begins_to_follow(its), "streams work again as well"
        statuses = [status for each in clients for status in each.result()]
        assert set(statuses) == {200, 503}
        proxy.fall_silent()
        waiting = [threads.submit(lambda: _status(its, client_id)) for _ in range(CLIENTS)]
        time.sleep(0.5)
        its.process.send_signal(signal.SIGTERM)
        assert its.process.wait(1 + 15 + 5 + MARGIN) == 0, "by itself, not by the last resort"
        for each in waiting:
            each.result()
        proxy.forward()


def _status(its: Served, client_id: str) -> int:
    try:
        return its.token(client_id).status_code
    except httpx2.TransportError:
        return 0  # the port is closed by now
