"""Cached facts stay valid after a change only if the change cannot concern their client."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest
from authsec_server.clients.store import clients
from authsec_server.db import AuthorityState, Database, RecentChanges, Tx, metadata
from authsec_server.db.recent_changes import MOST, MOST_CLIENTS
from authsec_server.db.table_digests import DIGESTED
from authsec_server.tokens.decision import Facts
from authsec_server.tokens.facts import load_all_facts
from authsec_server.tokens.request import TokenRequest
from authsec_server.web import openapi
from hypothesis import given
from hypothesis import strategies as st
from one_of_everything import BODIES, Everything, filled
from sqlalchemy import Engine, event, select

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
CLIENTS = ("a", "b", "c")
# The clients that a change concerns (None: all), and whether another process makes the change.
CHANGES = st.lists(st.tuples(st.none() | st.frozensets(st.sampled_from(CLIENTS)), st.booleans()), max_size=8)


def state(number: int) -> AuthorityState:
    return AuthorityState(number, f"change {number}")


def after(changes: list[tuple[frozenset[str] | None, bool]]) -> RecentChanges:
    recent = RecentChanges()
    for number, (concerned, is_foreign) in enumerate(changes):
        if not is_foreign:
            recent.add(state(number), state(number + 1), concerned)
    return recent


@given(CHANGES)
def test_a_client_is_spared_only_by_known_changes_of_others(
    changes: list[tuple[frozenset[str] | None, bool]],
) -> None:
    recent = after(changes)
    for since in range(len(changes) + 1):
        for until in range(len(changes) + 1):
            between = changes[since:until]
            for client in CLIENTS:
                if recent.spared(client, state(since), state(until)):
                    assert since < until
                    assert not any(foreign or its is None or client in its for its, foreign in between)


@given(CHANGES.filter(lambda changes: not any(foreign or its is None for its, foreign in changes)))
def test_known_changes_of_others_spare_a_client(changes: list[tuple[frozenset[str], bool]]) -> None:
    recent = after([*changes])
    for client in CLIENTS:
        concerned = [number for number, (its, _) in enumerate(changes, start=1) if client in its]
        for since in range(len(changes)):
            assert recent.spared(client, state(since), state(len(changes))) == all(each <= since for each in concerned)


def test_a_state_with_another_id_is_another_state() -> None:
    """After a restore, another change makes the same version."""
    recent = RecentChanges()
    recent.add(state(1), state(2), frozenset("b"))
    assert recent.spared("a", state(1), state(2))
    assert not recent.spared("a", AuthorityState(1, "another"), state(2))
    assert not recent.spared("a", state(1), AuthorityState(2, "another"))


def test_changes_that_arrive_in_another_order_spare_nobody_wrongly() -> None:
    """Two threads commit one after the other, and the second one is remembered first."""
    recent = RecentChanges()
    recent.add(state(2), state(3), frozenset("a"))
    recent.add(state(1), state(2), frozenset("b"))
    assert not recent.spared("a", state(1), state(3))
    assert not recent.spared("a", state(2), state(3))
    assert not recent.spared("a", state(3), state(2))


def test_old_changes_are_forgotten() -> None:
    recent = RecentChanges()
    for number in range(2 * MOST):
        recent.add(state(number), state(number + 1), frozenset({f"client {number}"}))
    assert not recent.spared("a", state(0), state(2 * MOST))
    assert recent.spared("a", state(2 * MOST - 10), state(2 * MOST))
    assert len(recent._places) <= MOST
    assert len(recent._of_clients) <= MOST


def test_a_change_of_very_many_clients_concerns_all() -> None:
    recent = RecentChanges()
    recent.add(state(1), state(2), frozenset(map(str, range(MOST_CLIENTS + 1))))
    assert not recent.spared("a", state(1), state(2))


def facts_of(database: Database, ids: list[str]) -> tuple[AuthorityState, dict[str, Facts]]:
    asked = [
        TokenRequest(client_id=id_, actions=None, resources=(), evidence=None, address="", request_id="") for id_ in ids
    ]

    def load(tx: Tx) -> tuple[AuthorityState, dict[str, Facts]]:
        return tx.state, dict(zip(ids, load_all_facts(tx, asked, "authsec-api"), strict=True))

    return database.read(load)


@pytest.mark.sqlite_suffices  # the test after this one changes clients of PostgreSQL
def test_no_operation_changes_the_facts_of_a_client_that_it_spares(house_on_each: Callable[..., House]) -> None:
    its = house_on_each(local_operator=True)
    everything, door, database = Everything(its, its), its.door(), its.authority.database
    for name in ("One", "Other"):
        its.delegated_name(name)
    operations = [
        (each["operationId"], method, path)
        for path, methods in door.get(openapi.PATH).json()["paths"].items()
        for method, each in methods.items()
        if method != "get"
    ]
    spared = set[str]()
    for name, method, path in islice(operations, 0, None, 1 if database.dialect == "sqlite" else 3):
        things = everything.things()
        address, body = filled(path, things), filled(BODIES.get(name, {}), things)
        ids = database.read(lambda tx: [*tx.connection.scalars(select(clients.c.id))])
        since, before = facts_of(database, ids)
        sent: dict[str, Any] = {"headers": {"If-Match": "*"}} if method == "patch" else {}
        door.request(method, address, **sent, **({} if method == "delete" else {"json": body}))
        until, now = facts_of(database, ids)
        for client in ids:
            if database.recent_changes.spared(client, since, until):
                spared.add(name)
                assert now[client] == before[client], name
    if database.dialect == "sqlite":
        assert spared >= {
            "editClient",
            "addProof",
            "createDelegation",
            "editDelegation",
            "disableClient",
            "deleteClient",
        }


def test_facts_are_read_from_tables_whose_changes_are_seen(house_on_each: Callable[..., House]) -> None:
    """`TableChanges` sees only writes to tables with a digest. A column that is no part of a digest decides nothing."""
    its = house_on_each()
    client, seen = its.delegated_name(), list[str]()

    def load(tx: Tx) -> None:
        asked = TokenRequest(
            client_id=client, actions=None, resources=("crm",), evidence=None, address="", request_id=""
        )
        load_all_facts(tx, [asked], "authsec-api")

    with statements(seen):
        its.authority.database.read(load)
    words = set(re.findall(r"[a-z_]+", " ".join(seen)))
    read = words & metadata.tables.keys()
    assert {"clients", "proofs", "delegations", "roles"} <= read
    assert read <= DIGESTED.keys() | {"authority"}


@contextmanager
def statements(seen: list[str]) -> Iterator[None]:
    def see(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement.replace("\n", ""))

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", see)


def change(door: Any, path: str) -> None:
    changed = door.post(f"/authsec/api/v1/{path}", json={})
    assert changed.status_code == 200, changed.text


def claims_version(its: House) -> int | None:
    version: int | None = its.events()[-1].event.authority_version
    return version


@pytest.mark.parametrize("verb", ["disable", pytest.param("enable", marks=pytest.mark.soak)])
def test_a_change_of_another_client_reads_no_facts_again(house_on_each: Callable[..., House], verb: str) -> None:
    its = house_on_each(local_operator=True, unproved_limit=100)
    door, client, other = its.door(), its.delegated_name("One"), its.delegated_name("Other")

    def reads() -> int:
        """Ask for a token, and return how often the table of clients was read."""
        seen: list[str] = []
        with statements(seen):
            assert door.get(ENDPOINT, params={"client_id": client}).status_code == 200
        return len([each for each in seen if "FROM clients" in each])

    assert reads()
    assert not reads()
    change(door, f"clients/{other}/{verb}")
    assert not reads()
    assert claims_version(its) == its.authority.database.read(lambda tx: tx.version)
    change(door, f"clients/{client}/disable")
    assert door.get(ENDPOINT, params={"client_id": client}).status_code == 403
