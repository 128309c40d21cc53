"""A superuser gives another schema AuthSec's name, in the table of schemas alone: the index still has the old name.

Statements find the genuine schema by the index. `verify` looks for the partitions of `events` by the name of the schema
in the table. So it reads partitions of the other schema: a copy from before a change. Readers read the changed events.
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
from authsec_server.db import open_database
from click.testing import CliRunner
from sqlalchemy import make_url

pytestmark = pytest.mark.asks_readers

PLANT = (
    "CREATE SCHEMA evil",
    "CREATE SCHEMA spare",
    "GRANT USAGE ON SCHEMA evil, spare TO PUBLIC",
    "CREATE TABLE spare.events (LIKE public.events) PARTITION BY RANGE (at)",
    "CREATE TABLE evil.kept PARTITION OF spare.events DEFAULT",
    "INSERT INTO evil.kept SELECT * FROM public.events",
    "GRANT SELECT ON evil.kept, spare.events TO PUBLIC",
    "UPDATE pg_class SET relhasindex = false WHERE oid = 'pg_namespace'::regclass",
    "UPDATE pg_namespace SET nspname = 'public' WHERE nspname = 'spare'",
    "UPDATE pg_class SET relhasindex = true WHERE oid = 'pg_namespace'::regclass",
)
CHANGE = (
    "UPDATE public.events SET address = '203.0.113.99' WHERE id = 4",
    "DELETE FROM public.events WHERE id = 5",
)


@pytest.fixture
def copied(postgres_url: str) -> Iterator[tuple[str, SealedLog]]:
    """A sealed log in a database of its own, which the test may spoil."""
    with closing(open_database(postgres_url)) as database:
        log = fill(database)
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


def test_a_copy_in_a_schema_of_the_same_name_is_not_read_instead(copied: tuple[str, SealedLog], tmp_path: Path) -> None:
    url, log = copied
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA amcheck")
        connection.execute("CREATE EXTENSION amcheck SCHEMA amcheck")
    said = _answers(url, log)
    assert _verified(url, log, tmp_path)[0] == 0
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in (*PLANT, *CHANGE):
            connection.execute(statement.encode())
    found = _answers(url, log)
    changed = [name for name, answer in said.items() if found[name] != answer]
    assert changed
    status, output = _verified(url, log, tmp_path)
    assert status != 0, f"other answers ({changed}), and nothing is found: {output}"
