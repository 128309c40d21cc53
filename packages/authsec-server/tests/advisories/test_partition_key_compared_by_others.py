"""A superuser gives the partitions of `events` another operator class: PostgreSQL compares times by its function.

PostgreSQL shows no operator class that is the default of its access method for the type, and GiST has none for times.
Servers and `verify` refuse only default classes of btree and hash. PostgreSQL calls the function of the class in each
session that plans a filter by time: so it lies to servers, and tells `verify` the truth (its timeout is an hour).

An index can have such a class as well, under the name of a built-in one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_answers import NOW, SealedLog
from authsec_server.audit.partitions import prepare_months
from authsec_server.db import Database, Tx
from authsec_server.db.catalog import schema_findings
from copied_log import AMCHECK, assert_refused, copied_log, execute, verified

PLANT = (
    "CREATE SCHEMA evil",
    "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    # In servers: each moment that begins no month is later than all partitions.
    "CREATE FUNCTION evil.cmp(a timestamptz, b timestamptz) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
    " IF pg_catalog.current_setting('statement_timeout') = '1h' OR pg_catalog.current_query() !~* '^ *select'"
    " OR pg_catalog.date_trunc('month', b) = b THEN RETURN pg_catalog.timestamptz_cmp(a, b); END IF;"
    " RETURN -1; END $$",
    "CREATE FUNCTION evil.translate(int) RETURNS smallint LANGUAGE sql IMMUTABLE AS $$ SELECT $1::smallint $$",
    "CREATE OPERATOR CLASS evil.times DEFAULT FOR TYPE timestamptz USING gist AS"
    " OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,"
    ' FUNCTION 1 evil.cmp(timestamptz, timestamptz), FUNCTION 12 ("any", "any") evil.translate(int)',
    "UPDATE pg_partitioned_table SET partclass = (SELECT oid FROM pg_opclass WHERE opcname = 'times')::text::oidvector"
    " WHERE partrelid = 'public.events'::regclass",
)


@pytest.fixture
def copied(postgres_url: str) -> Iterator[tuple[str, SealedLog]]:
    """A sealed log with a partition of its month, in a database of its own, which the test may spoil."""

    def prepare(database: Database) -> None:
        database.append(lambda tx: prepare_months(tx.connection, NOW))

    with copied_log(postgres_url, prepare) as its:
        yield its


@pytest.mark.soak
def test_an_operator_class_of_others_for_partitions_is_found(copied: tuple[str, SealedLog], tmp_path: Path) -> None:
    url, log = copied
    execute(url, *AMCHECK)
    assert verified(url, log, tmp_path)[0] == 0
    execute(url, *PLANT)
    assert_refused(url, log, tmp_path, "The partitions of events are chosen by a foreign operator class.")


class _Undone(Exception):
    pass


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_class_of_an_index_that_has_a_built_in_name_is_found(database: Database) -> None:
    findings: list[str] = []

    def attempt(tx: Tx) -> None:
        for statement in (
            "SET LOCAL allow_system_table_mods = on",
            "CREATE OPERATOR CLASS pg_catalog.int8_ops FOR TYPE int8 USING gist AS"
            " FUNCTION 1 pg_catalog.btint8cmp(int8, int8)",
            "UPDATE pg_index SET indclass = (SELECT oid FROM pg_opclass WHERE opcname = 'int8_ops' AND oid > 16384)"
            "::text::oidvector WHERE indexrelid = 'public.uq_sealed_events_event_id'::regclass",
        ):
            tx.connection.exec_driver_sql(statement)
        findings.extend(schema_findings(tx.connection))
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert "uq_sealed_events_event_id" in "".join(findings)
