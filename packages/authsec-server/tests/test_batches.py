"""Many callers share one transaction. What goes wrong for one of them is not the others' fault."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from authsec_server.db import Database, Tx, batches
from authsec_server.db.batches import Batches
from authsec_server.failures import OutcomeUnknown, Unavailable
from sqlalchemy import text

Work = Callable[[Tx, Sequence[str]], Sequence[Any]]
INSERT = text("INSERT INTO issued_numbers VALUES (:number)")


@pytest.fixture
def stored(database: Database) -> Iterator[Callable[[], list[str]]]:
    """What has been written to a table of this test's own."""
    run(database, "CREATE TABLE issued_numbers (number VARCHAR PRIMARY KEY)")
    yield lambda: database.read(lambda tx: list(tx.connection.execute(text("SELECT * FROM issued_numbers")).scalars()))
    run(database, "DROP TABLE issued_numbers")


def run(database: Database, statement: str) -> None:
    database.append(lambda tx: tx.connection.execute(text(statement)) and None)


def write(tx: Tx, items: Sequence[str]) -> Sequence[str]:
    for item in items:
        tx.connection.execute(INSERT, {"number": item})
    return [f"{item} of {len(items)}" for item in items]


class Gate:
    """Work that waits until it is let go, so that further items come meanwhile."""

    def __init__(self, work: Work = write) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self._work = work

    def __call__(self, tx: Tx, items: Sequence[str]) -> Sequence[Any]:
        self.entered.set()
        assert self.open.wait(20)
        return self._work(tx, items)


def together(its: Batches[str, str], gate: Gate, *items: str) -> list[Any]:
    """What comes of these items, which wait while a first one, `first`, is being worked on."""

    async def ask() -> list[Any]:
        first = its.submit("first")
        await asyncio.to_thread(gate.entered.wait, 20)
        others = [its.submit(each) for each in items]
        await asyncio.sleep(0)  # the items of one turn of the loop are queued at its end
        gate.open.set()
        return (await asyncio.gather(first, *others, return_exceptions=True))[1:]

    return asyncio.run(ask())


def test_items_that_wait_share_a_transaction(database: Database, stored: Callable[[], list[str]]) -> None:
    gate = Gate()
    with closing(Batches(database, gate)) as its:
        assert together(its, gate, "a", "b", "c") == ["a of 3", "b of 3", "c of 3"]
    assert sorted(stored()) == ["a", "b", "c", "first"]


def test_a_thread_waits_for_its_own_result(database: Database, stored: Callable[[], list[str]]) -> None:
    with closing(Batches(database, write)) as its:
        assert its.run("a") == "a of 1"
        assert stored() == ["a"]


def test_of_items_that_the_database_refuses_each_fails_alone(
    database: Database, stored: Callable[[], list[str]]
) -> None:
    gate = Gate()
    with closing(Batches(database, gate)) as its:
        one, again, other = together(its, gate, "a", "a", "b")
    assert (one, other) == ("a of 1", "b of 1")
    assert "IntegrityError" in type(again).__name__
    assert sorted(stored()) == ["a", "b", "first"]


def test_an_item_whose_work_returns_an_error_raises_it(database: Database) -> None:
    def refuse_b(_: Tx, items: Sequence[str]) -> Sequence[Any]:
        return [ValueError("b") if item == "b" else f"{item} of {len(items)}" for item in items]

    gate = Gate(refuse_b)
    with closing(Batches(database, gate)) as its:
        one, two = together(its, gate, "a", "b")
        with pytest.raises(ValueError, match="b"):
            its.run("b")
    assert one == "a of 2"
    assert isinstance(two, ValueError)


def test_while_the_database_is_away_each_caller_gets_an_exception_of_its_own(database: Database) -> None:
    def fail(tx: Tx, items: Sequence[str]) -> Sequence[Any]:
        raise Unavailable("The disk is full.", "Free some space.", retry_after=7)

    gate = Gate(fail)

    with closing(Batches(database, gate)) as its:
        found = together(its, gate, "a", "b")
    assert {(type(each), each.message, each.retry_after) for each in found} == {(Unavailable, "The disk is full.", 7)}
    assert len({id(each) for each in found}) == 2


def test_an_item_that_waits_too_long_is_refused_and_leaves_nothing(
    database: Database, stored: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "START_SECONDS", 0.05)
    gate = Gate()

    async def ask(its: Batches[str, str]) -> list[Any]:
        first = its.submit("first")
        await asyncio.to_thread(gate.entered.wait, 20)
        late = its.submit("late")
        [failed] = await asyncio.gather(late, return_exceptions=True)
        gate.open.set()
        return [failed, await first]

    with closing(Batches(database, gate)) as its:
        failed, first = asyncio.run(ask(its))
        assert isinstance(failed, Unavailable)
        assert first == "first of 1"
    assert stored() == ["first"]


def test_an_item_whose_caller_has_gone_is_not_worked_on(database: Database, stored: Callable[[], list[str]]) -> None:
    gate = Gate()

    async def ask(its: Batches[str, str]) -> None:
        first = its.submit("first")
        await asyncio.to_thread(gate.entered.wait, 20)
        its.submit("gone").cancel()
        gate.open.set()
        await first

    with closing(Batches(database, gate)) as its:
        asyncio.run(ask(its))
    assert stored() == ["first"]


def test_a_caller_whose_event_loop_has_ended_is_in_nobodys_way(
    database: Database, stored: Callable[[], list[str]]
) -> None:
    gate = Gate()

    async def ask(its: Batches[str, str]) -> None:
        its.submit("first")
        await asyncio.to_thread(gate.entered.wait, 20)

    with closing(Batches(database, gate)) as its:
        asyncio.run(ask(its))  # closes its loop
        gate.open.set()
        assert its.run("a") == "a of 1"
    assert stored() == ["first", "a"]


def test_work_without_a_result_for_each_item_fails(database: Database) -> None:
    with closing(Batches(database, lambda _tx, _items: [])) as its, pytest.raises(RuntimeError, match="0 results"):
        its.run("a")


def test_whatever_the_work_raises_its_callers_hear_of_it_and_the_others_are_served(database: Database) -> None:
    class Panic(BaseException):
        pass

    panics = [Panic()]

    def work(_: Tx, items: Sequence[str]) -> Sequence[str]:
        if panics:
            raise panics.pop()
        return items

    with closing(Batches(database, work)) as its:
        with pytest.raises(RuntimeError, match="failed"):
            its.run("a")
        assert its.run("b") == "b"


def test_a_long_transaction_that_fails_fails_for_those_who_wait(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would wait as long for the same database, one after the other."""
    monkeypatch.setattr(batches, "LONG_SECONDS", 0.0)
    calls: list[int] = []

    def fail(_: Tx, items: Sequence[str]) -> Sequence[Any]:
        calls.append(len(items))
        raise Unavailable("Another process has the write lock.")

    gate = Gate(fail)

    with closing(Batches(database, gate)) as its:
        found = together(its, gate, "a", "b")
    assert {str(each) for each in found} == {"Another process has the write lock."}
    assert calls == [1]


def test_a_transaction_that_has_begun_and_does_not_end_is_not_waited_for_without_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "START_SECONDS", 0.05)
    monkeypatch.setattr(batches, "END_SECONDS", 0.05)
    gate = Gate(lambda _, items: items)

    async def ask(its: Batches[str, str]) -> list[Any]:
        found = await asyncio.gather(its.submit("a"), return_exceptions=True)
        gate.open.set()
        return found

    with closing(Batches(database, gate)) as its:
        (failed,) = asyncio.run(ask(its))
    assert isinstance(failed, OutcomeUnknown)


def test_what_waits_is_finished_at_the_end_and_nothing_is_taken_after_it(
    database: Database, stored: Callable[[], list[str]]
) -> None:
    its = Batches(database, write)

    async def ask() -> str:
        asked = its.submit("a")
        await asyncio.to_thread(its.close)
        return await asked

    assert asyncio.run(ask()) == "a of 1"
    with pytest.raises(Unavailable, match="closed"):
        its.run("b")
    assert stored() == ["a"]
