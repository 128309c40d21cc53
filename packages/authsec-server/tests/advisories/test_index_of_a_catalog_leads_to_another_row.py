"""A superuser leads an entry of an index on one of PostgreSQL's own catalogs to another row of the catalog.

PostgreSQL finds the rows of its catalogs by these indexes. The comparison of the catalogs reads the tables, which have
every genuine row. So a sum is computed by the attacker's function, and the catalog looks genuine.

`relhasindex` keeps the index from changing while a row of the attacker gets the position of the genuine row.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from audit_answers import SealedLog, answers, fill
from authsec_server.cli import register
from authsec_server.db import Tx, open_database
from authsec_server.db.integrity import compare_catalogs
from click.testing import CliRunner
from sqlalchemy import make_url

pytestmark = pytest.mark.asks_readers

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
    database = open_database(postgres_url)
    log = fill(database)
    database.close()
    url, name = make_url(postgres_url), f"copy_{secrets.token_hex(4)}"
    administration = url.set(database="postgres").render_as_string(hide_password=False).replace("+psycopg", "")
    with psycopg.connect(administration, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (url.database,))
        connection.execute(f'CREATE DATABASE {name} TEMPLATE "{url.database}"'.encode())
        try:
            yield url.set(database=name).render_as_string(hide_password=False), log
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


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


def _answers(url: str, log: SealedLog) -> dict[str, Any]:
    with closing(open_database(url)) as database:
        return database.read(lambda tx: answers(tx, log.covered))


def _verified(url: str, log: SealedLog, folder: Path) -> tuple[int, str]:
    keys, checkpoint = folder / "keys.json", folder / "checkpoint.txt"
    keys.write_text(json.dumps({"keys": [key.to_jwk() for key in log.keys.values()]}))
    checkpoint.write_text(log.checkpoint.signed)
    group = click.Group()
    register(group)
    named = ["--key", str(keys), "--checkpoint", str(checkpoint), "--database", url.replace("+psycopg", "")]
    result = CliRunner().invoke(group, ["audit", "verify", *named])
    return result.exit_code, result.output


def test_an_index_of_a_catalog_that_leads_to_another_row_is_found(
    copied: tuple[str, SealedLog], tmp_path: Path
) -> None:
    url, log = copied
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA amcheck")
        connection.execute("CREATE EXTENSION amcheck SCHEMA amcheck")
    assert _verified(url, log, tmp_path)[0] == 0
    said = _answers(url, log)
    _plant(url)
    found = _answers(url, log)
    changed = [name for name, answer in said.items() if found[name] != answer]
    assert changed  # else the trick hides nothing
    status, output = _verified(url, log, tmp_path)
    assert status == 3, f"other answers ({changed}), and nothing is found: {output}"


def test_a_partition_that_an_index_of_a_catalog_lacks_is_found(copied: tuple[str, SealedLog], tmp_path: Path) -> None:
    """Without `amcheck`, as on many servers. PostgreSQL finds partitions by the index, and `verify` by the table."""
    url, log = copied
    said = _answers(url, log)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in (
            "CREATE TEMPORARY TABLE kept AS SELECT * FROM pg_inherits WHERE inhrelid = 'events_default'::regclass",
            "UPDATE pg_class SET relhasindex = false WHERE oid = 'pg_inherits'::regclass",
            "DELETE FROM pg_inherits WHERE inhrelid = 'events_default'::regclass",
            "INSERT INTO pg_inherits SELECT * FROM kept",
            "UPDATE pg_class SET relhasindex = true WHERE oid = 'pg_inherits'::regclass",
        ):
            connection.execute(statement.encode())
    found = _answers(url, log)
    changed = [name for name, answer in said.items() if found[name] != answer]
    assert changed
    status, output = _verified(url, log, tmp_path)
    assert status == 3, f"other answers ({changed}), and nothing is found: {output}"


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
