"""Code of others in the schema that could change what servers write. No change and no event is made beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from audit_answers import LATER, issued
from authsec_server.audit import service as audit
from authsec_server.db import Database, sqlite
from authsec_server.delegations import service as delegations
from authsec_server.failures import Unavailable
from sealed_estate import sealed_estate
from sqlalchemy import text

TRIGGER = "CREATE TRIGGER kept AFTER UPDATE ON clients BEGIN UPDATE clients SET owner = 'x' WHERE id = new.id; END"
FUNCTION = (
    "CREATE FUNCTION other() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
    " UPDATE delegations SET revoked_at = NULL; RETURN true; END $$"
)
OF_TRIGGER = "CREATE FUNCTION at_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"
INTERFERING = {
    "sqlite": {
        "trigger kept": (TRIGGER,),
        "index once": ("CREATE UNIQUE INDEX once ON clients (owner)",),
        "table clients": ("ALTER TABLE clients ADD COLUMN other AS (id)",),
    },
    "postgresql": {
        "trigger kept of events_default": (
            OF_TRIGGER,
            "CREATE TRIGGER kept BEFORE INSERT ON events_default FOR EACH ROW EXECUTE FUNCTION at_write()",
        ),
        "trigger RI_ConstraintTrigger": (
            "CREATE TABLE other (id varchar(36) REFERENCES delegations ON DELETE CASCADE)",
        ),
        "rule kept of clients": ("CREATE RULE kept AS ON UPDATE TO clients DO ALSO NOTHING",),
        "constraint kept of events": (FUNCTION, "ALTER TABLE events ADD CONSTRAINT kept CHECK (other())"),
        "constraint kept of clients": (
            "ALTER TABLE clients ADD CONSTRAINT kept"
            " CHECK (query_to_xml('SELECT other()', true, true, '') IS NOT NULL)",
        ),
        "default or generated column of clients": (FUNCTION, "ALTER TABLE clients ADD COLUMN b bool DEFAULT other()"),
        "index kept of clients": (
            "CREATE FUNCTION other(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1'",
            "CREATE INDEX kept ON clients (other(owner))",
        ),
        "column owner of clients": (
            "CREATE DOMAIN other AS text CHECK (length(value) > 0)",
            "ALTER TABLE clients ALTER owner TYPE other",
        ),
        "constraint once of clients": (
            "ALTER TABLE clients ADD CONSTRAINT once EXCLUDE USING btree (id WITH =) DEFERRABLE INITIALLY DEFERRED",
        ),
        "policy kept of clients": ("CREATE POLICY kept ON clients USING (true)",),
        "index few of clients": (
            "CREATE OPERATOR CLASS kept FOR TYPE text USING hash AS OPERATOR 1 =, FUNCTION 1 hashtext(text)",
            "CREATE INDEX few ON clients USING hash (owner kept)",
        ),
        "partition other of clients": ("CREATE TABLE other () INHERITS (clients)",),
        "partition other of events": (
            "CREATE TABLE other PARTITION OF events FOR VALUES FROM ('3000-01-01') TO ('3000-02-01')"
            " PARTITION BY RANGE (at)",
        ),
        "view in the place of a table": (
            "ALTER TABLE hourly_counts RENAME TO away",
            "CREATE VIEW hourly_counts AS SELECT * FROM away",
        ),
    },
}
UNDONE = text("UPDATE delegations SET revoked_at = NULL WHERE slug = 'first'")
HARMLESS = {
    "sqlite": (
        "CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
        "CREATE VIEW shown AS SELECT id FROM events",
        "CREATE INDEX by_owner ON clients (owner)",
        "ANALYZE",
    ),
    "postgresql": (
        OF_TRIGGER,
        "CREATE TABLE other (id bigint CHECK (id > 0))",
        "CREATE TRIGGER kept BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION at_write()",
        "CREATE VIEW shown AS SELECT id FROM events",
        "CREATE INDEX by_owner ON clients (owner)",
    ),
}


def execute(database: Database, *statements: str) -> None:
    for each in statements:
        database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)


@contextmanager
def by_hand(database_url: str) -> Iterator[sqlite3.Connection]:
    path = Path(database_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        yield connection


def add_under_the_same_version(database_url: str) -> None:
    with by_hand(database_url) as connection:
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(TRIGGER)
        connection.execute(f"PRAGMA schema_version = {version}")
        connection.execute("COMMIT")


def nothing(_: Any) -> None:
    """A change without an effect."""


def record(database: Database) -> None:
    database.append(lambda tx: audit.record(tx, issued(1, at=LATER)))


def test_no_change_is_made_beside_code_of_others(database: Database) -> None:
    database.change(nothing)
    for name, statements in INTERFERING[database.dialect].items():

        def interfered(tx: Any, statements: tuple[str, ...] = statements) -> None:
            for each in statements:
                tx.connection.exec_driver_sql(each)

        with pytest.raises(Unavailable) as refused:
            database.change(interfered)  # which is rolled back, with the statements
        assert name in refused.value.message
    database.change(nothing)


def test_a_row_that_is_written_again_after_the_digests_were_computed_is_noticed(estate: Any) -> None:
    sealed_estate(estate)

    def undone(tx: Any, act: Any) -> None:
        delegations.revoke(tx, act, "first", estate.terms)
        tell = tx.changes._tell
        tx.changes.tell_by(lambda digests: (tell(digests), tx.connection.execute(UNDONE)))

    with pytest.raises(Unavailable, match="what servers write to the table delegations"):
        estate.do(undone)
    assert estate.events()[-1].kind != "delegation.revoked"


def test_tables_views_and_indexes_of_others_keep_no_server_from_writing(database: Database) -> None:
    execute(database, *HARMLESS[database.dialect])
    database.change(nothing)
    record(database)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_table_that_was_renamed_and_renamed_back_keeps_no_server_from_writing(database: Database) -> None:
    execute(database, "ALTER TABLE events RENAME TO away", "ALTER TABLE away RENAME TO events")
    record(database)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_trigger_under_the_same_version_of_the_schema_is_found_when_sqlite_reads_it(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "RELOAD_SECONDS", 0)
    record(database)
    add_under_the_same_version(database_url)
    with pytest.raises(Unavailable, match="trigger kept"):
        record(database)
    with by_hand(database_url) as connection:
        connection.execute("DROP TRIGGER kept")
    record(database)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_trigger_that_sqlite_has_read_before_is_found_under_an_earlier_version(
    database: Database, database_url: str
) -> None:
    record(database)
    with by_hand(database_url) as connection:
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute(TRIGGER)
    execute(database, "DELETE FROM sessions")  # a write that compares nothing, after which SQLite has the trigger
    with by_hand(database_url) as connection:
        connection.execute(f"PRAGMA schema_version = {version}")
    with pytest.raises(Unavailable, match="trigger kept"):
        record(database)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_trigger_that_is_gone_only_from_the_file_is_refused(database: Database, database_url: str) -> None:
    database.change(nothing)
    with by_hand(database_url) as connection:
        connection.execute(TRIGGER)
    execute(database, "DELETE FROM sessions")
    with by_hand(database_url) as connection:
        connection.execute("DELETE FROM sqlite_master WHERE name = 'kept'")  # under the same version
    with pytest.raises(Unavailable, match="trigger kept"):
        record(database)
