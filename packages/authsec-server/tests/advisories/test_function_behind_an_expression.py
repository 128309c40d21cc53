"""A superuser writes another function into a stored expression, whose text stays the same.

PostgreSQL shows a call as a cast if the stored expression says so, and an operator without its function. So the text
of a default, a condition or a constraint does not name the attacker's function.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from audit_answers import LATER, SealedLog, fill
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.verifying import verify
from authsec_server.cli import register
from authsec_server.db import Database, Tx, open_database
from authsec_server.db.catalog import schema_findings
from click.testing import CliRunner, Result
from sqlalchemy import make_url

EVIL = (
    "CREATE SCHEMA evil",
    "CREATE FUNCTION evil.eqi(int, int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 = $2; END'",
    "CREATE FUNCTION evil.eqt(text, text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 = $2; END'",
    "CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eqt)",
    "CREATE FUNCTION evil.trap(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'",
    "CREATE FUNCTION evil.trap(bigint) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'",
    "CREATE DOMAIN evil.checked AS bigint CHECK (evil.trap(VALUE) > 0)",
    "CREATE CAST (text AS pg_node_tree) WITHOUT FUNCTION",
)


def call(function: str, kind: int, argument: str) -> str:
    """An SQL expression for a stored call that PostgreSQL shows as an implicit cast, so not at all."""
    return (
        f"'{{FUNCEXPR :funcid ' || '{function}'::regprocedure::oid || ' :funcresulttype {kind} :funcretset false"
        f" :funcvariadic false :funcformat 2 :funccollid 0 :inputcollid 0 :args (' || {argument}"
        " || ') :location -1}'"
    )


DOMAIN = (
    "'{COERCETODOMAIN :arg ' || adbin::text || ' :resulttype ' || 'evil.checked'::regtype::oid || ' :resulttypmod -1"
    " :resultcollid 0 :coercionformat 2 :location -1}'"
)
OF_EVENTS = "adrelid = 'public.events'::regclass"
TRICKS = {
    "a call around a default": (
        f"UPDATE pg_attrdef SET adbin = ({call('evil.trap(bigint)', 20, 'adbin::text')})::pg_node_tree"
        f" WHERE {OF_EVENTS}",
        "The column events.id is not what AuthSec expects: bigint NOT NULL DEFAULT"
        " nextval('public.events_id_seq'::regclass), calling function evil.trap(bigint), function nextval(regclass)",
    ),
    "a domain around a default": (
        f"UPDATE pg_attrdef SET adbin = ({DOMAIN})::pg_node_tree WHERE {OF_EVENTS}",
        "The column events.id is not what AuthSec expects: bigint NOT NULL DEFAULT"
        " nextval('public.events_id_seq'::regclass), calling function nextval(regclass), type evil.checked",
    ),
    "another function of an operator in a constraint": (
        "UPDATE pg_constraint SET conbin = replace(conbin::text, ':opfuncid 65', ':opfuncid '"
        " || 'evil.eqi(int, int)'::regprocedure::oid)::pg_node_tree WHERE conname = 'ck_authority_one_row'",
        "The constraint ck_authority_one_row of authority is not what AuthSec expects: CHECK ((id = 1)), calling"
        " function evil.eqi(integer,integer), operator =(integer,integer)",
    ),
    "another function of an operator in the condition of an index": (
        "UPDATE pg_index i SET indpred = replace(indpred::text, ':opfuncid 67', ':opfuncid '"
        " || 'evil.eqt(text, text)'::regprocedure::oid)::pg_node_tree FROM pg_class c"
        " WHERE c.oid = i.indexrelid AND c.relname = 'ix_client_counts_refused_hour'",
        "The index ix_client_counts_refused_hour of client_counts is not what AuthSec expects: btree (hour"
        " timestamptz_ops) WHERE ((kind)::text = 'token.refused'::text), calling function evil.eqt(text,text)",
    ),
    "another operator of a foreign key": (
        "UPDATE pg_constraint SET conpfeqop = ARRAY['evil.=(text, text)'::regoperator::oid]"
        " WHERE conname = 'fk_role_actions_role_id'",
        "The constraint fk_role_actions_role_id of role_actions is not what AuthSec expects: FOREIGN KEY"
        " (role_id) REFERENCES public.roles(id) ON DELETE CASCADE, compared by evil.=(text,text)",
    ),
    "a condition of a trigger that PostgreSQL made": (
        "UPDATE pg_trigger SET tgqual = (SELECT replace(conbin::text, ':opfuncid 65', ':opfuncid '"
        " || 'evil.eqi(int, int)'::regprocedure::oid) FROM pg_constraint WHERE conname = 'ck_authority_one_row')"
        "::pg_node_tree WHERE tgisinternal AND tgrelid = 'public.role_actions'::regclass",
        "calling function evil.eqi(integer,integer)",
    ),
    "another column under the shown one, in the condition of an index": (
        "UPDATE pg_index i SET indpred = regexp_replace(indpred::text, ':varattno [0-9]+', ':varattno 1')::pg_node_tree"
        " FROM pg_class c WHERE c.oid = i.indexrelid AND c.relname = 'ix_client_counts_refused_hour'",
        "operator =(text,text), constant text (1), column 1 shown as",
    ),
}
WITH_ALL = "another operator of a foreign key"


class _Undone(Exception):
    pass


@pytest.mark.soak  # such a function that a statement runs is in every run
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_function_behind_the_same_text_is_found(database: Database) -> None:
    """All in one transaction: each trick is undone before the next one. One is looked for by the whole of `verify`."""
    log = fill(database)
    missed = {}

    def attempt(tx: Tx) -> None:
        for statement in EVIL:
            tx.connection.exec_driver_sql(statement)
        for trick, (statement, finding) in TRICKS.items():
            savepoint = tx.connection.begin_nested()
            tx.connection.exec_driver_sql(statement)
            whole = verify(tx, log.keys, [log.checkpoint], now=LATER).findings if trick == WITH_ALL else ()
            findings = whole or schema_findings(tx.connection)
            if finding not in "\n".join(findings):
                missed[trick] = findings
            savepoint.rollback()
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert missed == {}


@pytest.fixture
def copied(postgres_url: str) -> Iterator[tuple[str, SealedLog]]:
    """A sealed log in a database of its own, which the test may spoil."""
    database = open_database(postgres_url)
    log = fill(database)
    database.close()
    url, name = make_url(postgres_url), f"copy_{secrets.token_hex(4)}"
    with _superuser(url.set(database="postgres").render_as_string(hide_password=False)) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (url.database,))
        connection.execute(f'CREATE DATABASE {name} TEMPLATE "{url.database}"'.encode())
        try:
            yield url.set(database=name).render_as_string(hide_password=False), log
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def _superuser(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@pytest.fixture
def verified(tmp_path: Path) -> Callable[[str, SealedLog], Result]:
    """`authsec audit verify`, with what an outsider has."""

    def run(url: str, log: SealedLog) -> Result:
        keys, checkpoint = tmp_path / "keys.json", tmp_path / "checkpoint.txt"
        keys.write_text(json.dumps({"keys": [key.to_jwk() for key in log.keys.values()]}))
        checkpoint.write_text(log.checkpoint.signed)
        group = click.Group()
        register(group)
        named = ["--key", str(keys), "--checkpoint", str(checkpoint), "--database", url.replace("+psycopg", "")]
        return CliRunner().invoke(group, ["audit", "verify", *named])

    return run


def _plant_in_condition(url: str, body: str) -> None:
    """Put a call into the condition of an index of events. The planner runs the call, because it has constants only."""
    with _superuser(url) as connection:
        for statement in EVIL:
            connection.execute(statement.encode())
        connection.execute(
            f"CREATE OR REPLACE FUNCTION evil.trap(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS"
            f" $$ BEGIN {body} RETURN $1; END $$".encode()
        )
        rows = connection.execute(
            "SELECT i.indexrelid::bigint, i.indpred::text FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indrelid"
            " WHERE h.inhparent = 'events'::regclass AND pg_get_expr(i.indpred, i.indrelid) ~ 'denied'"
        ).fetchall()
        for index, tree in rows:
            start = tree.rindex("{CONST")
            end = tree.index("}", start) + 1
            planted = f"(%s || {call('evil.trap(text)', 25, '%s')} || %s)::pg_node_tree"
            connection.execute(
                f"UPDATE pg_index SET indpred = {planted} WHERE indexrelid = %s".encode(),
                (tree[:start], tree[start:end], tree[end:], index),
            )
        connection.execute("DROP CAST (text AS pg_node_tree)")  # else sessions are refused because of it


@pytest.mark.soak
def test_verify_names_a_function_before_it_plans_a_statement_that_runs_the_function(
    copied: tuple[str, SealedLog], verified: Callable[[str, SealedLog], Result]
) -> None:
    url, log = copied
    assert verified(url, log).exit_code == 0
    _plant_in_condition(url, "RAISE EXCEPTION 'not now';")
    result = verified(url, log)
    assert result.exit_code == 3
    assert "calling function evil.trap(text)" in result.stdout


def test_verify_is_not_led_to_a_copy_of_the_tables(
    copied: tuple[str, SealedLog], verified: Callable[[str, SealedLog], Result]
) -> None:
    """A schema whose name begins with `pg_`, made by the migrations, with rows as they were before a change."""
    url, log = copied
    with _superuser(url) as connection:
        connection.execute("CREATE SCHEMA spare")
    spare = open_database(f"{url}{'&' if '?' in url else '?'}schema=spare")
    spare.migrate()
    spare.append(lambda tx: audit.prepare_months(tx, LATER))
    spare.close()
    with _superuser(url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition"
        ).fetchall()
        connection.execute("SET session_replication_role = replica")
        for (table,) in tables:
            connection.execute(f"DELETE FROM spare.{table}".encode())
            connection.execute(f"INSERT INTO spare.{table} SELECT * FROM public.{table}".encode())
        connection.execute("SET allow_system_table_mods = on")
        connection.execute("ALTER SCHEMA spare RENAME TO pg_spare")
        connection.execute("UPDATE public.events SET address = '203.0.113.99' WHERE id = 4")
    _plant_in_condition(url, "PERFORM set_config('search_path', 'pg_spare, pg_temp', false);")
    result = verified(url, log)
    assert result.exit_code == 1
    assert "Several schemas of the database have AuthSec's tables: pg_spare, public." in result.output
