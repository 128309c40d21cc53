"""A superuser stores an expression that PostgreSQL cannot read, where PostgreSQL itself never reads it.

Servers work as before. But the listing of the schema shows every stored expression as text. So `verify` ends with an
error of the driver ("Retry shortly"), status 1, and its findings are lost: here, an event that was deleted.
"""

from __future__ import annotations

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx
from long_runs import some_of

WAYS = {
    "a default of a column without a default": "INSERT INTO pg_attrdef (oid, adrelid, adnum, adbin)"
    " VALUES (4000000000, 'public.roles'::regclass, 1, '{garbage'::text::pg_node_tree)",
    "a condition of a policy on a table without row security": "INSERT INTO pg_policy (oid, polname, polrelid, polcmd,"
    " polpermissive, polroles, polqual) VALUES (4000000000, 'p', 'public.roles'::regclass, '*', true, '{0}',"
    " '{garbage'::text::pg_node_tree)",
    "the expression of a constraint": "UPDATE pg_constraint SET conbin = '{garbage'::text::pg_node_tree"
    " WHERE conname = 'ck_authority_one_row'",
}
NAMED = ("column roles.id", "policy p of roles", "constraint ck_authority_one_row of authority")


class _Undone(Exception):
    pass


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("way", some_of(WAYS))
def test_an_expression_that_cannot_be_read_is_a_finding(database: Database, way: str) -> None:
    log = fill(database)
    reports: list[Report] = []

    def attempt(tx: Tx) -> None:
        tx.connection.exec_driver_sql("CREATE CAST (text AS pg_node_tree) WITHOUT FUNCTION")
        tx.connection.exec_driver_sql(WAYS[way])
        tx.connection.exec_driver_sql("DROP CAST (text AS pg_node_tree)")
        tx.connection.exec_driver_sql("DELETE FROM events WHERE id = 4")
        tx.connection.exec_driver_sql("SELECT * FROM roles").all()  # readers notice nothing
        reports.append(verify(tx, log.keys, [log.checkpoint], now=LATER))
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert any(f"The {each} cannot be read: " in finding for each in NAMED for finding in reports[0].findings)
    assert "Event 4 was dropped: only its seal is left." in reports[0].findings
