"""An authority that was rolled back, or that a restore took back, decides about tokens that are asked for later.

A server keeps the facts of recent requests by the authority's version. After a commit that failed, or on an older
database, another change makes the same version. So each change has a random id, and facts are kept after the commit.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from authsec_server.clients import service as clients
from authsec_server.db import Tx, sqlite_writer
from authsec_server.principal import LOCAL_OPERATOR, Act
from sqlalchemy import event, text

pytestmark = pytest.mark.sqlite_suffices

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@pytest.fixture
def its(house_on_each: Any) -> Any:
    return house_on_each()


def asked(its: Any, client_id: str) -> int:
    status: int = its.door().get(ENDPOINT, params={"client_id": client_id}).status_code
    return status


def act(its: Any) -> Act:
    return Act(
        principal=LOCAL_OPERATOR,
        now=its.clock.now(),
        request_id="req_000000000000000000change",
        address="",
        token_bytes=secrets.token_bytes,
    )


def version(its: Any) -> int:
    found: int = its.authority.database.read(lambda tx: tx.version)
    return found


def queued(database: Any, number: int) -> None:
    """Wait until so many transactions wait for the writer."""
    until = time.monotonic() + 20
    while database._writer._queue.qsize() < number:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_an_older_database_in_which_another_change_made_the_same_version(its: Any, house_on_each: Any) -> None:
    """As on a standby that lacked the last change when it became the primary. A server that saw no version made it."""
    client_id, database = its.delegated_name(), its.authority.database
    assert asked(its, client_id) == 200
    before = version(its)

    def go_back(tx: Tx) -> None:
        tx.connection.execute(text("UPDATE clients SET enabled = false"))
        tx.connection.execute(text("UPDATE authority SET version = version - 1, change_id = 'that of the standby'"))

    database.append(go_back)
    house_on_each().delegated_name("Another")
    assert version(its) == before
    assert asked(its, client_id) == 403


def test_a_change_that_was_not_committed_with_the_request_that_saw_it(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's writer commits both together, and the disk is full."""
    its = house()
    database = its.authority.database
    client_id = its.delegated_name()
    assert asked(its, client_id) == 200
    database.change(lambda tx: clients.disable(tx, act(its), client_id))
    before = version(its)
    held, over, fails = threading.Event(), threading.Event(), threading.Event()

    def hold(_: Tx) -> None:
        held.set()
        assert over.wait(20)

    @event.listens_for(database._writer.engine, "commit")
    def commit(_connection: object) -> None:
        if fails.is_set():
            fails.clear()
            raise sqlite3.OperationalError("database or disk is full")

    with ThreadPoolExecutor() as threads:
        holding = threads.submit(database.append, hold)
        assert held.wait(20)
        enabling = threads.submit(database.change, lambda tx: clients.enable(tx, act(its), client_id))
        queued(database, 1)
        asking = threads.submit(asked, its, client_id)
        queued(database, 2)  # after the change
        next_batch = sqlite_writer.next_batch

        def failing(*arguments: Any) -> Any:
            batch = next_batch(*arguments)
            fails.set() if batch and isinstance(batch[0], sqlite_writer._Job) and len(batch) > 1 else None
            return batch

        monkeypatch.setattr(sqlite_writer, "next_batch", failing)
        over.set()
        holding.result(20)
        assert enabling.exception(20) is not None
        assert asking.result(20) == 503
    its.delegated_name("Another")
    assert version(its) == before + 1
    assert asked(its, client_id) == 403
