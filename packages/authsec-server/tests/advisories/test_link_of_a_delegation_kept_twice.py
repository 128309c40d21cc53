"""A superuser copies rows of `event_delegations`: PostgreSQL compares keys only while an index is called unique.

The list of a delegation then has these events several times, if PostgreSQL reads the links before the events: its
statistics decide. `verify` compared each row with the events, and not how often the row is there. Without `amcheck`,
nothing else found the copies.
"""

from __future__ import annotations

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx

pytestmark = pytest.mark.asks_readers

IS_UNIQUE = (
    "UPDATE pg_index SET indisunique = {} WHERE indrelid = 'public.event_delegations'::regclass AND indisprimary"
)
AGAIN = "UPDATE pg_class SET relname = relname WHERE oid = 'public.event_delegations'::regclass"
COPY = "INSERT INTO event_delegations SELECT * FROM event_delegations"
COPIES = "SELECT count(*) - count(DISTINCT (delegation_id, event_id)) FROM event_delegations"


class _Undone(Exception):
    pass


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_copy_of_a_link_to_a_delegation_is_found(database: Database) -> None:
    log = fill(database)
    copies: list[int] = []
    findings: list[str] = []

    def attempt(tx: Tx) -> None:
        for statement in (IS_UNIQUE.format("false"), AGAIN, COPY, IS_UNIQUE.format("true"), AGAIN):
            tx.connection.exec_driver_sql(statement)
        copies.append(tx.connection.exec_driver_sql(COPIES).scalar_one())
        report = verify(tx, log.keys, [log.checkpoint], now=LATER)
        findings.extend([*report.findings, *report.skipped])
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert copies[0] > 0  # else the trick alters nothing
    said_of = "\n".join(findings)
    assert "Event 4 is listed 2 times under the delegation" in said_of
    assert "The index pk_event_delegations is damaged: several rows of its table have the same key." in said_of
