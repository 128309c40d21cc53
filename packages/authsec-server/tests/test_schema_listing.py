"""The schema of a database against the listings in the package, and what the database's own check of itself says."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.partitions import prepare_months
from authsec_server.db import Database, Tx, open_database
from authsec_server.db.catalog import listing_text, normalised, schema_findings
from authsec_server.db.integrity import Integrity, integrity
from authsec_server.db.migrate import newest_revision
from authsec_server.db.system_catalogs import system_catalogs_file, system_catalogs_text
from sqlalchemy import text

pytestmark = pytest.mark.reads_catalog_indexes
A_MONTH = datetime(2026, 11, 1, tzinfo=UTC)


class Undone(Exception):
    """Rolls a transaction back."""


def execute(tx: Tx, *statements: str) -> None:
    for statement in statements:
        tx.connection.execute(text(statement))


@pytest.fixture
def undone(postgres_url: str) -> Iterator[Callable[[Callable[[Tx], Any]], Any]]:
    """Runs the work on PostgreSQL and undoes it: what it returned."""
    database = open_database(postgres_url)

    def attempt(work: Callable[[Tx], Any]) -> Any:
        found: list[Any] = []

        def whole(tx: Tx) -> None:
            found.append(work(tx))
            raise Undone

        with pytest.raises(Undone):
            database.append(whole)
        return found[0]

    yield attempt
    database.close()


@pytest.fixture
def months(database: Database) -> Database:
    database.append(lambda tx: prepare_months(tx.connection, A_MONTH, ahead=14))
    return database


def test_the_listings_are_what_the_migrations_make(database: Database) -> None:
    """If not: uv run --no-sync python scripts/renew_schema_listings.py"""
    database.append(lambda tx: prepare_months(tx.connection, A_MONTH, ahead=0))
    kept = resources.files("authsec_server") / "db" / "listings" / f"{database.dialect}.json"
    assert database.read(lambda tx: listing_text(tx.connection)) == kept.read_text("utf-8")


def test_the_digests_of_the_system_catalogs_are_those_of_the_tests_postgresql(undone: Callable[..., Any]) -> None:
    """If not: uv run --no-sync python scripts/renew_schema_listings.py"""
    name, digests = undone(lambda tx: (system_catalogs_file(tx.connection), system_catalogs_text(tx.connection)))
    assert digests == (resources.files("authsec_server") / "db" / "listings" / name).read_text("utf-8")


@pytest.mark.soak
def test_a_database_that_only_authsec_has_changed_has_no_findings(months: Database) -> None:
    assert months.read(lambda tx: schema_findings(tx.connection)) == []
    assert months.read(lambda tx: integrity(tx.connection)).findings == ()


@pytest.mark.soak
def test_the_check_leaves_the_callers_session_as_it_was(months: Database) -> None:
    if months.dialect == "sqlite":
        return

    def look(tx: Tx) -> tuple[object, ...]:
        names = ("search_path", "enable_indexscan", "constraint_exclusion")
        return tuple(tx.connection.execute(text(f"SHOW {name}")).scalar_one() for name in names)

    def check(tx: Tx) -> bool:
        before = look(tx)
        schema_findings(tx.connection)
        integrity(tx.connection)
        return look(tx) == before

    assert months.read(check)


def test_a_database_of_an_older_version_is_told_in_one_sentence(database: Database) -> None:
    newest = newest_revision()
    database.append(partial(execute_one, "UPDATE alembic_version SET version_num = '0013'"))
    (finding,) = database.read(lambda tx: schema_findings(tx.connection))
    database.append(partial(execute_one, f"UPDATE alembic_version SET version_num = '{newest}'"))
    assert finding.startswith(f"The schema has version 0013, but this program can check only version {newest}")


def test_a_database_without_its_version_is_told_so(database: Database) -> None:
    def work(tx: Tx) -> None:
        execute(tx, "ALTER TABLE alembic_version RENAME TO kept")
        assert schema_findings(tx.connection)[0].startswith("The schema has version none, ")
        raise Undone

    with pytest.raises(Undone):
        database.append(work)


def execute_one(statement: str, tx: Tx) -> None:
    execute(tx, statement)


COMPANY = (
    "CREATE SCHEMA company",
    "CREATE TABLE company.events (id int)",
    "CREATE FUNCTION company.f(varchar, varchar) RETURNS bool LANGUAGE sql AS 'SELECT true'",
    "CREATE OPERATOR company.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = company.f)",
    "CREATE EXTENSION citext",
    "CREATE EXTENSION btree_gist",
    "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM public",
    "CREATE EXTENSION intarray",
    "CREATE EXTENSION pg_trgm",
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION tablefunc",
    "CREATE EXTENSION pg_stat_statements",
    "CREATE ROLE report",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO report",
    "ALTER ROLE report SET search_path = company, public",
    "ALTER ROLE report SET work_mem = '64MB'",
    "ALTER TABLE events_2026_11 SET (autovacuum_vacuum_scale_factor = 0.01)",
    "COMMENT ON TABLE events IS 'of AuthSec'",
    "CREATE STATISTICS more ON client_id, kind FROM events_2026_11",
    "ANALYZE",
)


@pytest.mark.soak  # a database that only AuthSec has changed is in every run
def test_what_a_company_may_have_beside_it_is_no_finding(undone: Callable[..., Any]) -> None:
    def work(tx: Tx) -> list[str]:
        prepare_months(tx.connection, A_MONTH, ahead=1)
        execute(tx, *COMPANY)
        return [*schema_findings(tx.connection), *integrity(tx.connection).findings]

    assert undone(work) == []


@pytest.mark.parametrize(
    ("constant", "findings"), [("'token.refused'::varchar::text", 0), ("'token.revoked'::varchar::text", 1)]
)
def test_an_index_that_was_dumped_and_restored_has_no_finding_and_another_condition_has(
    undone: Callable[..., Any], constant: str, findings: int
) -> None:
    """`pg_dump` writes the cast of each constant where the migration had one of the array."""

    def work(tx: Tx) -> list[str]:
        condition = f"kind::text <> ALL (ARRAY['token.issued'::varchar::text, {constant}])"
        execute(tx, "DROP INDEX ix_events_act_id", f"CREATE INDEX ix_events_act_id ON events (id) WHERE {condition}")
        return [each for each in schema_findings(tx.connection) if "of events is" in each]

    assert len(undone(work)) == findings


def test_tables_in_a_schema_of_another_name_have_no_findings(undone: Callable[..., Any]) -> None:
    def work(tx: Tx) -> list[list[str]]:
        found = []
        prepare_months(tx.connection, A_MONTH, ahead=0)
        execute(tx, 'ALTER SCHEMA public RENAME TO "Auth Sec"', 'SET LOCAL search_path = "Auth Sec"')
        found.append(schema_findings(tx.connection))
        execute(tx, "CREATE INDEX more ON checkpoints (at)")
        found.append(schema_findings(tx.connection))
        return found

    assert undone(work) == [
        [],
        ["The index more of checkpoints is unknown to AuthSec: btree (at timestamptz_ops)"],
    ]


@pytest.mark.soak  # test_index_that_leads_to_another_row.py has checks without amcheck
def test_without_amcheck_it_says_what_was_not_checked_and_how_to_enable_it(undone: Callable[..., Any]) -> None:
    def work(tx: Tx) -> list[Integrity]:
        found = []
        found.append(integrity(tx.connection))
        execute(tx, "CREATE SCHEMA amcheck", "CREATE EXTENSION amcheck SCHEMA amcheck", "CREATE ROLE auditor")
        found.append(integrity(tx.connection))
        execute(tx, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor", "SET LOCAL ROLE auditor")
        found.append(integrity(tx.connection))
        grants = found[-1].skipped[0].partition("Run as a superuser: ")[2]
        execute(tx, "RESET ROLE", *grants.split("; "), "SET LOCAL ROLE auditor")
        found.append(integrity(tx.connection))
        found.append(integrity(tx.connection, deep=True))
        return found

    missing, there, no_right, granted, deep = found = undone(work)
    assert [each.findings for each in found] == [()] * 5
    assert (
        "PostgreSQL's extension amcheck is missing. Run as a superuser: CREATE SCHEMA amcheck" in missing.not_checked[0]
    )
    assert there.not_checked == granted.not_checked == deep.not_checked == ()
    assert "permission denied for schema amcheck" in no_right.skipped[0], "so the exit status is 6"
    assert no_right.not_checked == granted.skipped == deep.skipped == ()


@pytest.mark.soak
def test_functions_that_pose_as_amcheck_are_not_believed(undone: Callable[..., Any]) -> None:
    def work(tx: Tx) -> list[Integrity]:
        found = []
        execute(tx, "CREATE SCHEMA amcheck", "CREATE EXTENSION amcheck SCHEMA amcheck")
        execute(
            tx,
            "UPDATE pg_proc SET prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql'), prosrc = ''"
            " WHERE proname = 'bt_index_check'",
        )
        found.append(integrity(tx.connection))
        return found

    assert "amcheck is missing" in undone(work)[0].not_checked[0]


def test_a_damaged_page_of_a_sqlite_file_is_found(tmp_path: Path, migrated_file: Path) -> None:
    path = Path(shutil.copy(migrated_file, tmp_path))
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT max(rootpage) FROM sqlite_schema WHERE type = 'index'").fetchone()
    octets = bytearray(path.read_bytes())
    octets[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096  # of an index, and not of the schema
    path.write_bytes(octets)
    database = open_database(f"sqlite:///{path}")
    found = database.read(lambda tx: integrity(tx.connection))
    database.close()
    assert found.findings
    assert all(each.startswith("The database file is damaged: ") for each in found.findings)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CREATE INDEX a ON b (c, d)", "CREATE INDEX a ON b(c,d)"),
        ("CREATE TABLE a (\n\tb TEXT NOT NULL, \n\tc INTEGER\n)", "CREATE TABLE a (b TEXT NOT NULL, c INTEGER)"),
    ],
)
def test_white_space_of_a_statement_does_not_matter(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CREATE INDEX a ON b (c)", "CREATE INDEX a ON b (\u00a0c)"),  # for SQLite the character is part of the name
        ("CREATE INDEX a ON b (c) WHERE d = 'e f'", "CREATE INDEX a ON b (c) WHERE d = 'e  f'"),
        ("CREATE INDEX a ON b (c) WHERE d = 'e, f'", "CREATE INDEX a ON b (c) WHERE d = 'e,f'"),
        ('CREATE INDEX a ON b ("c d")', 'CREATE INDEX a ON b ("c  d")'),
        ("CREATE INDEX a ON b (c)", "CREATE INDEX a ON b (c) -- d"),
        ("CREATE INDEX a ON b (c)", "CREATE UNIQUE INDEX a ON b (c)"),
    ],
)
def test_whatever_else_differs_does(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)
