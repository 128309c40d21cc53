"""A sealed log in a PostgreSQL database that a test may spoil, and the output of the command `verify` about it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from audit_answers import SealedLog, answers, fill
from authsec_server.cli import register
from authsec_server.db import Database, open_database
from authsec_server.failures import Unavailable
from click.testing import CliRunner
from sqlalchemy import make_url


def _unchanged(_database: Database) -> None:
    """Add nothing to the log."""


@contextmanager
def copied_log(
    postgres_url: str, prepare: Callable[[Database], object] = _unchanged
) -> Iterator[tuple[str, SealedLog]]:
    """Fill a database, let `prepare` add to it, and copy it: the URL of the copy, and the log."""
    with closing(open_database(postgres_url)) as database:
        log = fill(database)
        prepare(database)
    url, name = make_url(postgres_url), f"copy_{secrets.token_hex(4)}"
    administration = url.set(database="postgres").render_as_string(hide_password=False).replace("+psycopg", "")
    with psycopg.connect(administration, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (url.database,))
        connection.execute(f'CREATE DATABASE {name} TEMPLATE "{url.database}"'.encode())
        try:
            yield url.set(database=name).render_as_string(hide_password=False), log
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def answers_of(url: str, log: SealedLog) -> dict[str, Any]:
    """The answers that readers of this database get."""
    with closing(open_database(url)) as database:
        return database.read(lambda tx: answers(tx, log.covered))


def verified(url: str, log: SealedLog, folder: Path) -> tuple[int, str]:
    """The status and the output of `authsec audit verify` with the keys and the checkpoint that were kept elsewhere."""
    keys, checkpoint = folder / "keys.json", folder / "checkpoint.txt"
    keys.write_text(json.dumps({"keys": [key.to_jwk() for key in log.keys.values()]}))
    checkpoint.write_text(log.checkpoint.signed)
    group = click.Group()
    register(group)
    named = ["--key", str(keys), "--checkpoint", str(checkpoint), "--database", url.replace("+psycopg", "")]
    result = CliRunner().invoke(group, ["audit", "verify", *named])
    return result.exit_code, result.output


AMCHECK = ("CREATE SCHEMA amcheck", "CREATE EXTENSION amcheck SCHEMA amcheck")


def execute(url: str, *statements: str) -> None:
    """Run the statements as a superuser, each in a transaction of its own."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def assert_refused(url: str, log: SealedLog, folder: Path, said: str) -> None:
    """Servers do not start on this database, and `verify` finds the same."""
    with pytest.raises(Unavailable, match=said):
        answers_of(url, log)
    status, output = verified(url, log, folder)
    assert status != 0
    assert said in output


def assert_changes_are_found(url: str, log: SealedLog, folder: Path, change: Callable[[], object]) -> str:
    """The change gives readers other answers, and `verify` finds it. Returns the output of `verify`."""
    before = answers_of(url, log)
    change()
    after = answers_of(url, log)
    changed = [name for name, answer in before.items() if after[name] != answer]
    assert changed  # else the trick hides nothing
    status, output = verified(url, log, folder)
    assert status == 3, f"other answers ({changed}), and nothing is found: {output}"
    return output
