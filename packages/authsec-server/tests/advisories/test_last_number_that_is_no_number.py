"""Somebody writes another value than a number into the row of `sqlite_sequence` from which events get their numbers.

If a server read the value as it is, a text or a fraction would end each token request with status 500. Octets that are
no UTF-8 would end `verify` without a finding, and would look like damage to a server, also after the row was put back.
`verify` would read a long value whole, and a server would read it for each event.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.event_numbers import UNUSUAL
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
OCTETS = 50_000_000


def write(database: Database, value: str) -> None:
    statement = f"UPDATE sqlite_sequence SET seq = {value} WHERE name = 'events'"
    database.append(lambda tx: tx.connection.exec_driver_sql(statement) and None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_text_that_is_not_utf_8_is_a_finding(database: Database) -> None:
    log = fill(database)
    write(database, "CAST(x'ff' AS TEXT)")
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
    assert any("sqlite_sequence" in each for each in report.findings)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_verify_holds_no_long_value(database: Database) -> None:
    log = fill(database)
    write(database, f"zeroblob({OCTETS})")
    tracemalloc.start()
    try:
        report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.findings != ()
    assert peak < OCTETS


def test_tokens_are_issued_whatever_number_a_seal_has(house: Callable[..., House]) -> None:
    """A server looks at the seals if the last number is too high."""
    its = house(unproved_limit=100)
    client_id, database = its.delegated_name(), its.authority.database
    write(database, str(UNUSUAL))
    seal = "INSERT INTO sealed_events (position, event_id, hash) VALUES (9999, CAST(x'ff' AS TEXT), x'00')"
    database.append(lambda tx: tx.connection.exec_driver_sql(seal) and None)
    assert its.door().get(ENDPOINT, params={"client_id": client_id}).status_code == 200


@pytest.mark.parametrize("value", ["'abc'", "1000.5", "CAST(x'ff' AS TEXT)"])
def test_tokens_are_issued_whatever_the_row_has(house: Callable[..., House], value: str) -> None:
    its = house(unproved_limit=100)
    client_id = its.delegated_name()
    write(its.authority.database, value)
    assert its.door().get(ENDPOINT, params={"client_id": client_id}).status_code == 200
