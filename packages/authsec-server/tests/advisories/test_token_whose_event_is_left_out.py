"""Somebody adds a trigger that leaves out the event of one token, and removes the trigger after the request.

On SQLite, the next event would get the number, so there would not even be a gap. `verify` could find nothing. So a
server compares the number of inserted rows with the number of events. On SQLite, it also finds a trigger that deletes
or changes the event afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from audit_answers import LATER, issued
from authsec_server.audit import refusal_counts
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Refusal, Tally
from authsec_server.db import Database
from authsec_server.failures import Unavailable

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
INTERFERING = {
    "sqlite": (
        "CREATE TRIGGER gone BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER gone AFTER INSERT ON events BEGIN DELETE FROM events WHERE id = new.id; END",
        "CREATE TRIGGER gone AFTER INSERT ON events BEGIN UPDATE events SET jti = '' WHERE id = new.id; END",
        "CREATE TRIGGER gone AFTER INSERT ON event_delegations BEGIN DELETE FROM events WHERE id = new.event_id; END",
    ),
    "postgresql": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        " CREATE TRIGGER gone BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE RULE gone AS ON INSERT TO events DO INSTEAD NOTHING",
    ),
}


def execute(database: Database, statement: str) -> None:
    database.append(lambda tx: tx.connection.exec_driver_sql(statement) and None)


def undo(database: Database, statement: str) -> None:
    of_rule, of_function = "DROP RULE gone ON events", "DROP FUNCTION f CASCADE"
    other = of_rule if statement.startswith("CREATE RULE") else of_function
    execute(database, "DROP TRIGGER gone" if database.dialect == "sqlite" else other)


def test_no_token_is_issued_if_its_event_was_not_inserted(house_on_each: Callable[..., House]) -> None:
    its = house_on_each(unproved_limit=100)
    client_id, database = its.delegated_name(), its.authority.database
    door = its.door()
    for statement in INTERFERING[database.dialect]:
        execute(database, statement)
        answer = door.get(ENDPOINT, params={"client_id": client_id})
        undo(database, statement)
        assert answer.status_code == 503, statement
        assert door.get(ENDPOINT, params={"client_id": client_id}).status_code == 200


def test_nothing_is_recorded_without_its_event(database: Database) -> None:
    for statement in INTERFERING[database.dialect]:
        execute(database, statement)
        with pytest.raises(Unavailable, match="trigger"):
            database.append(lambda tx: audit.record(tx, issued(1, at=LATER)))
        undo(database, statement)


def test_a_refusal_that_cannot_be_counted_is_an_error(database: Database) -> None:
    statement = INTERFERING[database.dialect][0]
    execute(database, statement)
    refusal = Refusal(kind=EventKind.TOKEN_REFUSED, reason="unknown_client", address="192.0.2.1")
    with pytest.raises(Unavailable, match="trigger"):
        database.append(
            lambda tx: refusal_counts.count(
                tx.connection, {refusal: Tally(count=1, request_id="req_000000000000000000000001")}, LATER, tx.event_key
            )
        )
