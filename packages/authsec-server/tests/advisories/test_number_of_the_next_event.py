"""Somebody sets back the sequence of event numbers, or lists events that do not exist yet under a delegation.

If a server on PostgreSQL gave new events the numbers of sealed ones, they would never get a seal, and `verify` would
blame the sealed events. So a server that meets such a number raises the sequence. If a listed event were an error, each
token under the delegation would fail. `verify` reports the sequence and the listed events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from audit_answers import LATER, SealedLog, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database

pytestmark = pytest.mark.changes_rows_only

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
SET_BACK = {
    "sqlite": "UPDATE sqlite_sequence SET seq = 3 WHERE name = 'events'",
    "postgresql": "SELECT setval('events_id_seq', 3)",
}
AHEAD = {
    "sqlite": f"UPDATE sqlite_sequence SET seq = {MAX_NUMBER} WHERE name = 'events'",
    "postgresql": f"SELECT setval('events_id_seq', {MAX_NUMBER})",
}
LISTED = (
    "INSERT INTO event_delegations SELECT d.id, e.number FROM delegations d CROSS JOIN (WITH RECURSIVE n (number) AS"
    " (SELECT (SELECT max(id) FROM events) + 1 UNION ALL SELECT number + 1 FROM n WHERE number < 1000)"
    " SELECT number FROM n) e"
)


def findings(database: Database, log: SealedLog) -> tuple[str, ...]:
    return database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER)).findings


def execute(database: Database, statement: str) -> None:
    database.append(lambda tx: tx.connection.exec_driver_sql(statement) and None)


@pytest.mark.postgresql_suffices
def test_a_sequence_below_the_last_event_is_a_finding(database: Database) -> None:
    log = fill(database)
    execute(database, SET_BACK[database.dialect])
    assert findings(database, log) != ()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_event_gets_the_number_of_a_sealed_one(database: Database) -> None:
    log = fill(database)
    execute(database, SET_BACK[database.dialect])
    tokens = [replace(issued(number, at=LATER), delegations=()) for number in (70, 71)]
    numbers = [database.append(lambda tx, event=event: audit.record(tx, event)) for event in tokens]
    assert not log.covered.intersection(numbers)
    assert findings(database, log) == ()


@pytest.mark.soak
@pytest.mark.postgresql_suffices
def test_a_sequence_at_its_end_is_a_finding(database: Database) -> None:
    log = fill(database)
    execute(database, AHEAD[database.dialect])
    assert findings(database, log) != ()


@pytest.mark.postgresql_suffices
def test_a_link_of_an_event_that_is_yet_to_come_is_a_finding(database: Database) -> None:
    log = fill(database)
    execute(database, LISTED)
    assert findings(database, log) != ()


def test_a_token_is_issued_although_its_event_is_listed_already(house_on_each: Callable[..., House]) -> None:
    its = house_on_each(unproved_limit=100)
    client_id = its.delegated_name()
    execute(its.authority.database, LISTED)
    assert its.door().get(ENDPOINT, params={"client_id": client_id}).status_code == 200
