"""Somebody with SQL adds a function whose first argument has a type of its own, and takes the place of a built-in one.

A literal such as `'events_id_seq'` has no type yet. PostgreSQL prefers a function for a type of the category "string",
and a new base type may say that it is of this category. So `nextval('events_id_seq')` calls the attacker's function in
the session of a server, for each token. The function exchanges the prepared statements of the session. So readers of
the same session miss an event, and nothing in the tables was changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from audit_answers import ANN, LATER, SealedLog, answers
from authsec_server.audit import event_numbers
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, open_database
from authsec_server.failures import Unavailable
from copied_log import copied_log

pytestmark = pytest.mark.asks_readers

HIDDEN = 2
TYPE = (
    "CREATE SCHEMA evil",
    "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    "CREATE TYPE evil.s",
    "CREATE FUNCTION evil.s_in(cstring) RETURNS evil.s LANGUAGE internal IMMUTABLE STRICT AS 'textin'",
    "CREATE FUNCTION evil.s_out(evil.s) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout'",
    "CREATE TYPE evil.s (INPUT = evil.s_in, OUTPUT = evil.s_out, LIKE = text, CATEGORY = 'S', PREFERRED = true)",
)
EXCHANGE = f"""
CREATE FUNCTION {{schema}}.nextval(evil.s) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE each record;
BEGIN
    FOR each IN SELECT name, parameter_types::text[] AS types, statement FROM pg_prepared_statements
        WHERE statement LIKE '%FROM events%' AND statement NOT LIKE 'PREPARE%'
    LOOP
        EXECUTE format('DEALLOCATE %I', each.name);
        EXECUTE format('PREPARE %I %s AS %s', each.name,
            CASE WHEN each.types <> '{{}}' THEN '(' || array_to_string(each.types, ', ') || ')' ELSE '' END,
            replace(replace(each.statement, E'\\n', ' '), 'FROM events',
                'FROM (SELECT * FROM public.events WHERE id <> {HIDDEN}) AS events'));
    END LOOP;
    RETURN pg_catalog.nextval('public.events_id_seq'::regclass);
END $$
"""
HOUR = (
    "CREATE FUNCTION {schema}.date_trunc(evil.s, timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS"
    " $$ SELECT $2 $$"
)


@pytest.fixture
def copied(postgres_url: str) -> Iterator[tuple[str, SealedLog]]:
    """A sealed log in a database of its own, which the test may spoil."""
    with copied_log(postgres_url) as its:
        yield its


def _run(url: str, *statements: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET allow_system_table_mods = on")
        for statement in statements:
            connection.execute(statement.encode())


def _listed(database: Database) -> set[int]:
    wanted = EventFilter(client_id="c-1")
    return {each.id for each in database.read(lambda tx: audit.page(tx, ANN, wanted, limit=201).items)}


def _findings(url: str, log: SealedLog) -> list[str]:
    with closing(open_database(url)) as auditor:
        try:
            report = auditor.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
        except Unavailable as refusal:
            return [refusal.message]
    return [*report.findings, *report.skipped]


def _in(schema: str, statement: str) -> str:
    return statement.replace("{schema}", schema)


def test_a_function_that_is_chosen_for_a_literal_is_found(copied: tuple[str, SealedLog]) -> None:
    url, log = copied
    _run(url, *TYPE, _in("pg_catalog", EXCHANGE))
    with closing(open_database(url)) as server:
        try:
            for _ in range(8):
                before = _listed(server)
            server.record(
                lambda tx: event_numbers.next_numbers(tx.connection, 1, datetime.now(UTC))
            )  # as each token does
            after = _listed(server)
        except Unavailable:
            return  # the server refuses the database
    assert before - after == {HIDDEN}  # else the trick hides nothing
    assert _findings(url, log), f"the list lacks event {HIDDEN}, and nothing is found"


@pytest.mark.soak
def test_a_function_that_breaks_a_sum_is_found(copied: tuple[str, SealedLog]) -> None:
    url, log = copied

    def said() -> dict[str, Any]:
        with closing(open_database(url)) as database:
            return database.read(lambda tx: answers(tx, log.covered))

    before = said()
    _run(url, *TYPE, _in("pg_catalog", HOUR))
    try:
        changed = [name for name, answer in said().items() if answer != before[name]]
    except Unavailable:
        return  # the server refuses the database
    assert changed
    assert _findings(url, log), f"other answers, and nothing is found: {changed}"


@pytest.mark.soak  # a function that breaks a sum is in every run
def test_a_function_in_the_schema_is_not_called(copied: tuple[str, SealedLog]) -> None:
    url, log = copied
    with closing(open_database(url)) as server:
        said = server.read(lambda tx: answers(tx, log.covered))
    _run(url, *TYPE, _in("public", EXCHANGE), _in("public", HOUR))
    with closing(open_database(url)) as server:
        for _ in range(8):
            before = _listed(server)
        server.record(lambda tx: event_numbers.next_numbers(tx.connection, 1, datetime.now(UTC)))
        assert _listed(server) == before
        assert server.read(lambda tx: answers(tx, log.covered)) == said
