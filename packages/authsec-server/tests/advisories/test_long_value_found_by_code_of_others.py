"""A superuser has PostgreSQL call a function of others for each long value: where it looks for the parts of the value.

PostgreSQL keeps the parts of a long value (TOAST) in a table of the schema `pg_toast`, and finds them by an index. No
check reads the operator classes of that index. Its function runs in each session that reads a long value: in servers it
leads the further statements of the transaction to other tables, and in `verify` (its timeout is an hour) it does not.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from audit_answers import ANN, LATER, SealedLog, answers, fill, issued
from authsec_server.audit import service as audit
from authsec_server.cli import register
from authsec_server.db import Tx, open_database
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
    "CREATE VIEW evil.events AS SELECT * FROM public.events WHERE id <> 5",
    "CREATE VIEW evil.sealed_events AS SELECT * FROM public.sealed_events WHERE event_id <> 5",
    "GRANT SELECT ON evil.events, evil.sealed_events TO PUBLIC",
    "CREATE FUNCTION evil.cmp(a oid, b oid) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
    " IF pg_catalog.current_setting('statement_timeout') <> '1h' THEN"
    " PERFORM pg_catalog.set_config('search_path', 'evil, public, pg_temp', true); END IF;"
    " RETURN pg_catalog.btoidcmp(a, b); END $$",
    "CREATE OPERATOR CLASS evil.oids FOR TYPE oid USING gist AS FUNCTION 1 evil.cmp(oid, oid)",
    "UPDATE pg_index SET indclass"
    " = ((SELECT oid FROM pg_opclass WHERE opcname = 'oids') || ' ' || indclass[1])::oidvector"
    " WHERE indrelid IN (SELECT reltoastrelid FROM pg_class WHERE relname ~ '^events_' AND reltoastrelid <> 0)",
)


@pytest.fixture
def copied(postgres_url: str) -> Iterator[tuple[str, SealedLog]]:
    """A sealed log and an event with a long value, in a database of its own, which the test may spoil."""
    long = replace(
        issued(30, at=LATER),
        request_id="req_long",
        detail={"actions": [secrets.token_hex(20) for _ in range(400)], "audience": ["https://api"]},
    )
    with closing(open_database(postgres_url)) as database:
        log = fill(database)
        database.append(partial(audit.record, event=long))
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
    def listed(tx: Tx) -> dict[str, Any]:
        return {"the seals of one list": [each.seal for each in audit.page(tx, ANN, limit=201).items]}

    def asked(tx: Tx) -> dict[str, Any]:
        audit.of_request(tx, ANN, "req_long")  # in one transaction, as of an export or a page of the console
        return answers(tx, log.covered)

    with closing(open_database(url)) as database:
        return database.read(listed) | database.read(asked)


def _verified(url: str, log: SealedLog, folder: Path) -> tuple[int, str]:
    keys, checkpoint = folder / "keys.json", folder / "checkpoint.txt"
    keys.write_text(json.dumps({"keys": [key.to_jwk() for key in log.keys.values()]}))
    checkpoint.write_text(log.checkpoint.signed)
    group = click.Group()
    register(group)
    named = ["--key", str(keys), "--checkpoint", str(checkpoint), "--database", url.replace("+psycopg", "")]
    result = CliRunner().invoke(group, ["audit", "verify", *named])
    return result.exit_code, result.output


def test_an_index_of_long_values_that_calls_others_is_found(copied: tuple[str, SealedLog], tmp_path: Path) -> None:
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
