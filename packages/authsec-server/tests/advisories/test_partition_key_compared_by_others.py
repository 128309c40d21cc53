"""A superuser gives the partitions of `events` another operator class: PostgreSQL compares times by its function.

PostgreSQL shows no operator class that is the default of its access method for the type, and GiST has none for times.
Servers and `verify` refuse only default classes of btree and hash. PostgreSQL calls the function of the class in each
session that plans a filter by time: so it lies to servers, and tells `verify` the truth (its timeout is an hour).
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
from audit_answers import NOW, SealedLog, answers, fill
from authsec_server.audit.partitions import prepare_months
from authsec_server.cli import register
from authsec_server.db import open_database
from click.testing import CliRunner
from sqlalchemy import make_url

pytestmark = [
    pytest.mark.soak,
    pytest.mark.asks_readers,
    pytest.mark.xfail(reason="found by an attack, and not mended yet"),
]

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
    with closing(open_database(postgres_url)) as database:
        log = fill(database)
        database.append(lambda tx: prepare_months(tx.connection, NOW))
    url, name = make_url(postgres_url), f"copy_{secrets.token_hex(4)}"
    administration = url.set(database="postgres").render_as_string(hide_password=False).replace("+psycopg", "")
    with psycopg.connect(administration, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (url.database,))
        connection.execute(f'CREATE DATABASE {name} TEMPLATE "{url.database}"'.encode())
        try:
            yield url.set(database=name).render_as_string(hide_password=False), log
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


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


def test_an_operator_class_of_others_for_partitions_is_found(copied: tuple[str, SealedLog], tmp_path: Path) -> None:
    url, log = copied
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA amcheck")
        connection.execute("CREATE EXTENSION amcheck SCHEMA amcheck")
    said = _answers(url, log)
    assert _verified(url, log, tmp_path)[0] == 0
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in PLANT:
            connection.execute(statement.encode())
    found = _answers(url, log)
    changed = [name for name, answer in said.items() if found[name] != answer]
    assert changed
    status, output = _verified(url, log, tmp_path)
    assert status != 0, f"other answers ({changed}), and nothing is found: {output}"
