"""Somebody with SQL plants code that PostgreSQL runs in the sessions of servers and of `verify` while it plans.

The code leads those sessions to other tables. So servers and `verify` look for such places first, without a plan.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from audit_answers import LATER, SealedLog, answers, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, open_database, postgresql_connection
from authsec_server.db.integrity import compare_catalogs
from authsec_server.failures import Fault, Unavailable
from sqlalchemy import make_url

BEGIN = (
    "CREATE SCHEMA evil",
    "CREATE VIEW evil.events AS SELECT * FROM public.events WHERE id <> 4",
    "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    "GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC",
    "CREATE FUNCTION evil.trap(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
    " IF current_setting('search_path') <> 'pg_catalog' THEN"
    " PERFORM set_config('search_path', 'evil, public, pg_temp', false); END IF; RETURN $1; END $$",
    "CREATE FUNCTION evil.at_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.trap(''); END $$",
    "CREATE FUNCTION evil.at_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "SET allow_system_table_mods = on",
)
OWN = "PostgreSQL's own catalog with the oid"
WAYS = {
    "extended statistics on events": (
        "CREATE STATISTICS evil.planned ON (kind || evil.trap('x')) FROM public.events",
        "DROP STATISTICS evil.planned",
        "The extended statistics planned have an expression, which PostgreSQL runs while it plans.",
    ),
    "extended statistics on a catalog": (
        "CREATE STATISTICS evil.planned ON (relname::text || evil.trap('x')) FROM pg_catalog.pg_class",
        "DROP STATISTICS evil.planned",
        "The extended statistics planned have an expression",
    ),
    "an event trigger": (
        "CREATE EVENT TRIGGER beside ON ddl_command_end EXECUTE FUNCTION evil.at_ddl()",
        "DROP EVENT TRIGGER beside",
        "The database has the event trigger beside: it runs foreign code in the sessions of AuthSec.",
    ),
    "an index on a catalog": (
        "CREATE INDEX planned ON pg_catalog.pg_namespace (nspname) WHERE nspname <> evil.trap('x')::name",
        "DROP INDEX pg_catalog.planned",
        f"{OWN} 2615 has an index that PostgreSQL does not create.",
    ),
    "a condition of PostgreSQL's own index": (
        "UPDATE pg_index SET indpred = (SELECT adbin FROM pg_attrdef LIMIT 1)"
        " WHERE indexrelid = 'pg_policy_oid_index'::regclass",
        "UPDATE pg_index SET indpred = NULL WHERE indexrelid = 'pg_policy_oid_index'::regclass",
        f"{OWN} 3256 has an index that PostgreSQL does not create.",
    ),
    "a default on a catalog": (
        "INSERT INTO pg_attrdef SELECT 4000000000, 'pg_policy'::regclass, 2, adbin FROM pg_attrdef LIMIT 1",
        "DELETE FROM pg_attrdef WHERE oid = 4000000000",
        f"{OWN} 3256 has a default that PostgreSQL does not create.",
    ),
    "a rule on a catalog": (
        "INSERT INTO pg_rewrite SELECT 4000000000, rulename, 'pg_policy'::regclass, ev_type, ev_enabled, is_instead,"
        " ev_qual, ev_action FROM pg_rewrite WHERE ev_class = 'evil.events'::regclass",
        "DELETE FROM pg_rewrite WHERE oid = 4000000000",
        f"{OWN} 3256 has a rule that PostgreSQL does not create.",
    ),
    "a child of a catalog": (
        "INSERT INTO pg_inherits VALUES ('pg_seclabel'::regclass, 'pg_policy'::regclass, 1, false)",
        "DELETE FROM pg_inherits WHERE inhparent = 'pg_policy'::regclass",
        f"{OWN} 3256 has a child table that PostgreSQL does not create.",
    ),
    "a trigger on a catalog": (
        "CREATE TRIGGER planned AFTER INSERT ON pg_catalog.pg_policy EXECUTE FUNCTION evil.at_change()",
        "DROP TRIGGER planned ON pg_catalog.pg_policy",
        f"{OWN} 3256 has a trigger that PostgreSQL does not create.",
    ),
    "a constraint on a catalog": (
        "ALTER TABLE pg_catalog.pg_policy ADD CONSTRAINT planned CHECK (polname <> 'x')",
        "ALTER TABLE pg_catalog.pg_policy DROP CONSTRAINT planned",
        f"{OWN} 3256 has a constraint that PostgreSQL does not create.",
    ),
    "another table with the name of a catalog": (
        "ALTER TABLE pg_catalog.pg_statistic_ext RENAME TO pg_statistic_away;"
        "CREATE TABLE pg_catalog.pg_statistic_ext AS TABLE pg_catalog.pg_statistic_away;"
        "GRANT SELECT ON pg_catalog.pg_statistic_ext TO PUBLIC",
        "DROP TABLE pg_catalog.pg_statistic_ext;ALTER TABLE pg_catalog.pg_statistic_away RENAME TO pg_statistic_ext",
        "PostgreSQL's own catalog pg_statistic_ext was replaced: the table with this name has the oid",
    ),
    "a catalog that the role may not read": (
        "REVOKE SELECT ON pg_catalog.pg_event_trigger FROM PUBLIC",
        "GRANT SELECT ON pg_catalog.pg_event_trigger TO PUBLIC",
        "PostgreSQL's own catalog pg_event_trigger cannot be read: this role lacks the permission.",
    ),
}
# These leave nothing behind in the database of the tests once they are taken away.
TRACELESS = (
    "extended statistics on events",
    "extended statistics on a catalog",
    "an event trigger",
    "an index on a catalog",
    "another table with the name of a catalog",
    "a catalog that the role may not read",
)


class Place:
    """A sealed log in PostgreSQL, and a role of its server without special rights."""

    def __init__(self, url: str, log: SealedLog) -> None:
        self.url, self.log = url, log
        self.role = f"server_{secrets.token_hex(4)}"

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.replace("{role}", self.role).encode())

    def opened(self) -> Database:
        return open_database(make_url(self.url).set(username=self.role).render_as_string(hide_password=False))

    def said(self, database: Database) -> dict[str, Any]:
        return database.read(lambda tx: answers(tx, self.log.covered))


@pytest.fixture
def place(postgres_url: str) -> Iterator[Place]:
    database = open_database(postgres_url)
    made = Place(postgres_url, fill(database))
    database.close()
    made.run(
        "CREATE ROLE {role} LOGIN",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    )
    yield made
    made.run("DROP SCHEMA IF EXISTS evil CASCADE", "DROP OWNED BY {role}", "DROP ROLE {role}")


@pytest.mark.soak
def test_a_session_is_refused_where_the_planner_runs_code_of_others(place: Place) -> None:
    server = place.opened()
    genuine = place.said(server)
    place.run(*BEGIN)
    refusals = dict[str, str]()
    for way in TRACELESS:
        plant, take_away, _ = WAYS[way]
        with psycopg.connect(place.url.replace("+psycopg", "")) as connection:
            connection.execute("SET allow_system_table_mods = on")
            connection.execute(plant.encode())
        fresh = place.opened()
        try:
            with pytest.raises(Unavailable) as refusal:
                fresh.read(lambda tx: tx.version)
        finally:
            fresh.close()
            place.run("SET allow_system_table_mods = on", *take_away.split(";"))
        assert refusal.value.fault is Fault.OTHER_SESSION
        refusals[way] = refusal.value.message
    assert {way: refusals.get(way) for way in TRACELESS if WAYS[way][2] not in refusals.get(way, "")} == {}
    assert place.said(server) == genuine
    server.close()


def test_a_session_that_is_open_ends_once_there_is_such_a_place(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    server = place.opened()
    try:
        server.read(lambda tx: tx.version)
        place.run(*BEGIN, WAYS["extended statistics on events"][0])
        passed = postgresql_connection.monotonic() + postgresql_connection.HOME_SECONDS
        monkeypatch.setattr(postgresql_connection, "monotonic", lambda: passed)
        with pytest.raises(Unavailable, match="The extended statistics planned have an expression"):
            server.read(lambda tx: tx.version)
    finally:
        server.close()


class _Undone(Exception):
    pass


@pytest.mark.soak  # a place from before the session is in every run
def test_verify_reports_a_place_that_is_made_after_its_session_began(place: Place) -> None:
    """All in one transaction: each place is undone before the next one. One is looked for by the whole of `verify`."""
    auditor = open_database(place.url)
    missed = {}

    def attempt(tx: Any) -> None:
        for statement in BEGIN:
            tx.connection.exec_driver_sql(statement.replace("false)", "true)"))
        for way, (plant, _, said) in WAYS.items():
            if "may not read" in way:  # a superuser may
                continue
            savepoint = tx.connection.begin_nested()
            tx.connection.exec_driver_sql(plant)
            if way == "an event trigger":
                findings = verify(tx, place.log.keys, [place.log.checkpoint], now=LATER).findings
            else:
                findings = compare_catalogs(tx.connection).findings
            if said not in "\n".join(findings):
                missed[way] = findings
            savepoint.rollback()
        raise _Undone

    with pytest.raises(_Undone):
        auditor.append(attempt)
    auditor.close()
    assert missed == {}
