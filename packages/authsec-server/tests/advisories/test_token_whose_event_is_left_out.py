"""Somebody adds a trigger that leaves out the event of one token, and removes the trigger after the request.

The server issues the token although the database has inserted nothing. On SQLite, the next event gets the number, so
there is not even a gap. `verify` finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
TRIGGER = {
    "sqlite": ("CREATE TRIGGER gone BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END",),
    "postgresql": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER gone BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION f()",
    ),
}


@pytest.mark.xfail(strict=True, reason="nobody looks at the number of rows that were inserted")
def test_no_token_is_issued_if_its_event_was_not_inserted(house_on_each: Callable[..., House]) -> None:
    its = house_on_each(unproved_limit=100)
    client_id, database = its.delegated_name(), its.authority.database
    for statement in TRIGGER[database.dialect]:
        database.append(lambda tx, s=statement: tx.connection.exec_driver_sql(s) and None)
    assert its.door().get(ENDPOINT, params={"client_id": client_id}).status_code != 200
