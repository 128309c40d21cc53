"""A superuser leads an entry of an index on one of PostgreSQL's own catalogs to another row of the catalog.

PostgreSQL finds the rows of its catalogs by these indexes. The comparison of the catalogs reads the tables, which have
every genuine row. So a sum is computed by the attacker's function, and the catalog looks genuine.

`relhasindex` keeps the index from changing while a row of the attacker gets the position of the genuine row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from audit_answers import SealedLog
from authsec_server.db import Tx, open_database
from authsec_server.db.integrity import compare_catalogs
from copied_log import AMCHECK, assert_changes_are_found, copied_log, execute, verified

pytestmark = [pytest.mark.asks_readers, pytest.mark.reads_catalog_indexes]

SUM = "'pg_catalog.sum(int4)'::regprocedure"
OWN = "'evil.sum(int4)'::regprocedure"
OTHERS = (
    "aggkind, aggnumdirectargs, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggmtransfn,"
    " aggminvtransfn, aggmfinalfn, aggfinalextra, aggmfinalextra, aggfinalmodify, aggmfinalmodify, aggsortop,"
    " aggtranstype, aggtransspace, aggmtranstype, aggmtransspace, agginitval, aggminitval"
)
BEFORE = (
    "CREATE SCHEMA evil",
    "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    "CREATE FUNCTION evil.one(int8, int4) RETURNS int8 LANGUAGE sql IMMUTABLE AS $$ SELECT 1::int8 $$",
    "CREATE AGGREGATE evil.sum(int4) (SFUNC = evil.one, STYPE = int8)",
    f"CREATE TABLE evil.genuine AS SELECT ctid AS place, * FROM pg_aggregate WHERE aggfnoid = {SUM}",
    f"CREATE TABLE evil.own AS SELECT * FROM pg_aggregate WHERE aggfnoid = {OWN}",
    "UPDATE pg_class SET relhasindex = false WHERE oid = 'pg_aggregate'::regclass",
    f"DELETE FROM pg_aggregate WHERE aggfnoid = {SUM} OR aggfnoid = {OWN}",
    "VACUUM pg_aggregate",
)
AFTER = (
    "INSERT INTO pg_aggregate SELECT * FROM evil.own",
    "DELETE FROM pg_aggregate a USING evil.genuine g WHERE a.aggfnoid = 'evil.sum(int4)'::regprocedure"
    " AND a.ctid <> g.place",
    f"INSERT INTO pg_aggregate SELECT aggfnoid, {OTHERS} FROM evil.genuine",
    "UPDATE pg_class SET relhasindex = true WHERE oid = 'pg_aggregate'::regclass",
    "DROP TABLE evil.genuine, evil.own",
)
IS_THERE = f"SELECT count(*) FROM pg_aggregate a JOIN evil.genuine g ON a.ctid = g.place WHERE a.aggfnoid = {OWN}"


class _Undone(Exception):
    pass


@pytest.fixture
def copied(postgres_url: str) -> Iterator[tuple[str, SealedLog]]:
    """A sealed log in a database of its own, which the test may spoil."""
    with copied_log(postgres_url) as its:
        yield its


def _plant(url: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in BEFORE:
            connection.execute(statement.encode())
        for _ in range(2000):  # until a row is where the genuine one was
            connection.execute(AFTER[0].encode())
            if connection.execute(IS_THERE.encode()).fetchone() == (1,):
                break
        else:
            pytest.fail("no row got the position")
        for statement in AFTER[1:]:
            connection.execute(statement.encode())


@pytest.mark.soak  # test_index_that_leads_to_another_row.py has our tables
def test_an_index_of_a_catalog_that_leads_to_another_row_is_found(
    copied: tuple[str, SealedLog], tmp_path: Path
) -> None:
    url, log = copied
    execute(url, *AMCHECK)
    assert verified(url, log, tmp_path)[0] == 0
    output = assert_changes_are_found(url, log, tmp_path, lambda: _plant(url))
    assert "of PostgreSQL's own catalog pg_aggregate is damaged" in output


@pytest.mark.soak  # another index of a catalog is in every run
def test_a_partition_that_an_index_of_a_catalog_lacks_is_found(copied: tuple[str, SealedLog], tmp_path: Path) -> None:
    """Without `amcheck`, as on many servers. PostgreSQL finds partitions by the index, and `verify` by the table."""
    url, log = copied
    statements = (
        "CREATE TEMPORARY TABLE kept AS SELECT * FROM pg_inherits WHERE inhrelid = 'events_default'::regclass",
        "UPDATE pg_class SET relhasindex = false WHERE oid = 'pg_inherits'::regclass",
        "DELETE FROM pg_inherits WHERE inhrelid = 'events_default'::regclass",
        "INSERT INTO pg_inherits SELECT * FROM kept",
        "UPDATE pg_class SET relhasindex = true WHERE oid = 'pg_inherits'::regclass",
    )
    output = assert_changes_are_found(url, log, tmp_path, lambda: execute(url, *statements))
    assert "of PostgreSQL's own catalog pg_inherits is damaged" in output


def test_an_index_of_others_on_a_catalog_does_not_end_the_check(copied: tuple[str, SealedLog]) -> None:
    url, _ = copied
    reports: list[str] = []

    def attempt(tx: Tx) -> None:
        for statement in (
            "SET LOCAL allow_system_table_mods = on",
            "CREATE INDEX others ON pg_catalog.pg_namespace ((nspname::text || 'x'))",
        ):
            tx.connection.exec_driver_sql(statement)
        reports.extend(compare_catalogs(tx.connection).findings)
        raise _Undone

    with closing(open_database(url)) as database, pytest.raises(_Undone):
        database.append(attempt)
    assert [each for each in reports if "has an index that PostgreSQL does not create" in each]
