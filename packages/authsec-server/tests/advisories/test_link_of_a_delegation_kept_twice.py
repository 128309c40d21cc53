"""A superuser copies rows of `event_delegations`: PostgreSQL compares keys only while an index is called unique.

The list of a delegation then has these events several times. `verify` compares each row with the events, and not how
often the row is there. Without `amcheck`, nothing else finds the copies.
"""

from __future__ import annotations

import pytest
from audit_answers import LATER, answers, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx

pytestmark = pytest.mark.asks_readers

IS_UNIQUE = (
    "UPDATE pg_index SET indisunique = {} WHERE indrelid = 'public.event_delegations'::regclass AND indisprimary"
)
AGAIN = "UPDATE pg_class SET relname = relname WHERE oid = 'public.event_delegations'::regclass"
COPY = "INSERT INTO event_delegations SELECT * FROM event_delegations"


class _Undone(Exception):
    pass


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_copy_of_a_link_to_a_delegation_is_found(database: Database) -> None:
    log = fill(database)
    said = database.read(lambda tx: answers(tx, log.covered))
    changed: list[str] = []
    findings: list[str] = []

    def attempt(tx: Tx) -> None:
        for statement in (IS_UNIQUE.format("false"), AGAIN, COPY, IS_UNIQUE.format("true"), AGAIN):
            tx.connection.exec_driver_sql(statement)
        found = answers(tx, log.covered)
        changed.extend(name for name in said if found[name] != said[name])
        report = verify(tx, log.keys, [log.checkpoint], now=LATER)
        findings.extend([*report.findings, *report.skipped])
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert changed  # else the trick alters nothing
    said_of = "\n".join(findings)
    assert "Event 4 is listed 2 times under the delegation" in said_of
    assert "The index pk_event_delegations is damaged: several rows of its table have the same key." in said_of
