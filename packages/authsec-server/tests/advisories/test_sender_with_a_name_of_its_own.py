"""A superuser replaces the function that sends values of `regproc`, by one of the same name for another type.

PostgreSQL shows a name with its schema if there are several functions of that name. `verify` cuts the schema off: so
`pg_catalog.regprocsend(evil.t)` looks like PostgreSQL's own. The function lies about itself and about another one,
which gives a hash table random hashes. The digests of the catalogs stay the same.
"""

from __future__ import annotations

import pytest
from audit_answers import LATER, answers, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx
from authsec_server.db.postgresql_connection import driver_of
from authsec_server.db.type_functions import replaced_type_functions

pytestmark = pytest.mark.asks_readers

TRICK = (
    "SET LOCAL allow_system_table_mods = on",
    "CREATE SCHEMA evil",
    "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    "CREATE TYPE evil.t",
    "CREATE FUNCTION evil.t_in(cstring) RETURNS evil.t LANGUAGE internal IMMUTABLE STRICT AS 'oidin'",
    "CREATE FUNCTION evil.t_out(evil.t) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'oidout'",
    "CREATE TYPE evil.t (INPUT = evil.t_in, OUTPUT = evil.t_out, LIKE = oid)",
    "CREATE FUNCTION evil.mixed(bigint) RETURNS integer LANGUAGE sql VOLATILE AS 'SELECT (random() * 1000000)::int'",
    """
    CREATE FUNCTION pg_catalog.regprocsend(evil.t) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT AS $$
    DECLARE number oid := $1::text::oid;
    BEGIN
        IF number = 'pg_catalog.regprocsend(evil.t)'::regprocedure::oid THEN
            number := 'pg_catalog.regprocsend(regproc)'::regprocedure::oid;
        ELSIF number = 'evil.mixed(bigint)'::regprocedure::oid THEN
            number := 'pg_catalog.hashint8(bigint)'::regprocedure::oid;
        END IF;
        RETURN pg_catalog.oidsend(number);
    END $$
    """,
    "UPDATE pg_amproc SET amproc = 'evil.mixed(bigint)'::regprocedure WHERE amproc = 'pg_catalog.hashint8'::regproc"
    " AND amprocnum = 1 AND amproclefttype = 'int8'::regtype AND amprocrighttype = 'int8'::regtype",
    "UPDATE pg_type SET typsend = 'pg_catalog.regprocsend(evil.t)'::regprocedure WHERE oid = 'regproc'::regtype",
    "SET LOCAL enable_nestloop = off",  # as ALTER DATABASE … SET does for each session
    "SET LOCAL enable_mergejoin = off",
)


class _Undone(Exception):
    pass


@pytest.mark.soak  # test_text_with_a_hidden_end.py has other false texts
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_sender_of_the_same_name_is_found(database: Database) -> None:
    log = fill(database)
    said = database.read(lambda tx: answers(tx, log.covered))
    changed: list[str] = []
    findings: list[str] = []
    of_types: list[str] = []

    def attempt(tx: Tx) -> None:
        for statement in TRICK:
            tx.connection.exec_driver_sql(statement)
        found = answers(tx, log.covered)
        changed.extend(name for name in said if found[name] != said[name])
        report = verify(tx, log.keys, [log.checkpoint], now=LATER)
        findings.extend([*report.findings, *report.skipped])
        of_types.extend(replaced_type_functions(driver_of(tx.connection)))
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert changed
    assert findings, f"other answers, and nothing is found: {changed}"
    assert [each.partition(" by ")[0] for each in of_types] == ["Values of PostgreSQL's own type regproc are sent"]
