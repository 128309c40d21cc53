"""An administrator of the database changes its schema, so that readers miss an event that is still in its table.

They write SQL as a superuser, and read the code. Each trick below changes what `audit list` answers, or would once the
planner takes another way; each is named by the comparison of the schema, or by the database's own check of its indexes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Event
from authsec_server.audit.pages import newest
from authsec_server.db import Database, Tx, open_database
from authsec_server.db.catalog import schema_findings
from authsec_server.db.integrity import integrity
from databases import raise_version_to
from full_events import full_event
from long_runs import some_of
from sqlalchemy import text

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
VICTIM = "00000000000000000000000000000004"


def event(number: int) -> Event:
    return full_event(number, NOW, {})


def fill(database: Database) -> None:
    raise_version_to(database, 100)
    database.append(lambda tx: audit.prepare_months(tx, NOW))
    database.append(lambda tx: tx.connection.execute(text("UPDATE authority SET version = 7")))
    for number in range(1, 8):
        database.append(partial(audit.record, event=event(number)))


ASKED = (
    EventFilter(jti=VICTIM),
    EventFilter(client_id="id-4"),
    EventFilter(request_id="req_000000000000000000000004"),
    EventFilter(since=NOW + timedelta(seconds=4), until=NOW + timedelta(seconds=5)),
    EventFilter(),
)


def answers(tx: Tx) -> list[list[str]]:
    """What a reader gets to each question: the names of the tokens."""
    return [[each.event.jti for each in newest(tx.connection, wanted, before=None, limit=50).items] for wanted in ASKED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a reader and the checks say after a trick."""

    hidden: bool
    findings: str


def seen(tx: Tx) -> Seen:
    findings = schema_findings(tx.connection)
    findings += integrity(tx.connection).findings
    return Seen(hidden=any(VICTIM not in answer for answer in answers(tx)), findings="\n".join(findings))


# PostgreSQL: each trick runs in a transaction that is undone.


class Undone(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def after_trick(postgres_url: str) -> Iterator[Callable[..., Seen]]:
    """Fills an audit log, runs the statements, asks, and undoes all of it."""
    database = open_database(postgres_url)

    def attempt(*statements: str) -> Seen:
        found: list[Seen] = []

        def work(tx: Tx) -> None:
            audit.prepare_months(tx, NOW)
            for number in range(1, 8):
                audit.record(tx, event(number))
            tx.connection.execute(text("CREATE SCHEMA amcheck"))
            tx.connection.execute(text("CREATE EXTENSION amcheck SCHEMA amcheck"))
            tx.connection.execute(text("SET LOCAL enable_seqscan = off"))
            assert not any(VICTIM not in answer for answer in answers(tx))
            for statement in statements:
                tx.connection.exec_driver_sql(statement)
            found.append(seen(tx))
            raise Undone

        with pytest.raises(Undone):
            database.append(work)
        return found[0]

    yield attempt
    database.close()


EVERYTHING_BUT = "SELECT * FROM public.events WHERE jti <> '00000000000000000000000000000004'"
FALSE_FOR_IT = (
    "CREATE FUNCTION public.hidden(varchar, varchar) RETURNS bool LANGUAGE sql AS"
    " $$ SELECT $1::text = $2::text AND $1::text <> '00000000000000000000000000000004' $$",
    "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.hidden)",
)
HIDING = {
    "a view in a schema that the search path names first": (
        ("CREATE SCHEMA evil", f"CREATE VIEW evil.events AS {EVERYTHING_BUT}", "SET LOCAL search_path = evil, public"),
        "This session finds evil.events instead of",
    ),
    "a view in pg_catalog": (
        ("SET LOCAL allow_system_table_mods = on", f"CREATE VIEW pg_catalog.events AS {EVERYTHING_BUT}"),
        "This session finds pg_catalog.events instead of public.events",
    ),
    "an operator for exactly the types of our statements": (
        FALSE_FOR_IT,
        "The operator public.=(character varying,character varying) is unknown to AuthSec",
    ),
    "the same operator as a member of an extension": (
        (
            "CREATE EXTENSION intagg",
            *FALSE_FOR_IT,
            "ALTER EXTENSION intagg ADD FUNCTION public.hidden(varchar, varchar)",
            "ALTER EXTENSION intagg ADD OPERATOR public.= (varchar, varchar)",
        ),
        "The operator public.=(character varying,character varying) is unknown to AuthSec",
    ),
    "a search path with pg_catalog at its end": (
        (
            "CREATE FUNCTION public.hidden(text, text) RETURNS bool LANGUAGE sql AS"
            " $$ SELECT $1 OPERATOR(pg_catalog.=) $2"
            " AND $1 OPERATOR(pg_catalog.<>) '00000000000000000000000000000004' $$",
            "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.hidden)",
            "SET LOCAL search_path = public, pg_catalog",
        ),
        "begins with another schema than pg_catalog",
    ),
    "PostgreSQL's own comparison of texts, replaced": (
        (
            "CREATE OR REPLACE FUNCTION pg_catalog.texteq(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS"
            " $$ SELECT $1 LIKE $2 AND $1 NOT LIKE '00000000000000000000000000000004' $$",
        ),
        "The operator =(text,text) is not what AuthSec expects",
    ),
    "an index that was left out of writes for a while": (
        (
            "CREATE TEMP TABLE kept AS SELECT * FROM events WHERE jti = '00000000000000000000000000000004'",
            "DELETE FROM events WHERE jti = '00000000000000000000000000000004'",
            "UPDATE pg_index SET indisready = false WHERE indexrelid = 'events_2026_11_jti_idx'::regclass",
            "INSERT INTO events SELECT * FROM kept",
            "UPDATE pg_index SET indisready = true WHERE indexrelid = 'events_2026_11_jti_idx'::regclass",
        ),
        "The index events_2026_11_jti_idx is damaged",
    ),
    "a partition that holds another month": (
        (
            "CREATE TABLE kept AS SELECT * FROM events WHERE jti = '00000000000000000000000000000004'",
            "DELETE FROM events WHERE jti = '00000000000000000000000000000004'",
            "ALTER TABLE events DETACH PARTITION events_2027_01",
            "INSERT INTO events_2027_01 SELECT * FROM kept",
            "DROP TABLE kept",
            "ALTER TABLE events_2027_01 ADD CONSTRAINT c CHECK (at IS NOT NULL AND at >= '2027-01-01 00:00:00+00'"
            " AND at < '2027-02-01 00:00:00+00') NOT VALID",
            "UPDATE pg_constraint SET convalidated = true WHERE conname = 'c'",
            "ALTER TABLE events ATTACH PARTITION events_2027_01 FOR VALUES"
            " FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00')",
            "ALTER TABLE events_2027_01 DROP CONSTRAINT c",
        ),
        "The partition events_2027_01 has events of other months: 2026_11",
    ),
    "a policy of row security": (
        (
            "ALTER TABLE events ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY nobody ON events USING (jti <> '00000000000000000000000000000004')",
            "CREATE ROLE reader",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
            "SET LOCAL ROLE reader",
            "SET LOCAL row_security = on",
        ),
        "The policy nobody of events is unknown to AuthSec",
    ),
    "a view in place of the table": (
        (
            "ALTER TABLE events RENAME TO kept",
            "CREATE VIEW events AS SELECT * FROM kept WHERE jti <> '00000000000000000000000000000004'",
        ),
        "The view events is unknown to AuthSec",
    ),
    "a partition that is detached": (
        ("ALTER TABLE events DETACH PARTITION events_2026_11",),
        "The table events_2026_11 is unknown to AuthSec",
    ),
    "a catalog that says that there are no partitions": (
        ("UPDATE pg_class SET relhassubclass = false WHERE oid = 'events'::regclass",),
        "The table events is not what AuthSec expects",
    ),
}


@pytest.mark.parametrize("trick", some_of(HIDING, each=6))
def test_a_trick_that_hides_an_event_on_postgresql_is_named(trick: str, after_trick: Callable[..., Seen]) -> None:
    statements, finding = HIDING[trick]
    found = after_trick(*statements)
    assert found.hidden
    assert finding in found.findings


NAMED = {
    "a trigger": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER gone BEFORE INSERT ON events_2026_11 FOR EACH ROW EXECUTE FUNCTION f()",
        "The trigger gone of events_2026_11 is unknown to AuthSec",
    ),
    "a trigger of a foreign key that is off": (
        "ALTER TABLE api_actions DISABLE TRIGGER ALL",
        "The trigger RI_FKey_check_ins of api_actions for constraint fk_api_actions_api_id is not what AuthSec expects",
    ),
    "a rule": (
        "CREATE RULE gone AS ON INSERT TO checkpoints DO INSTEAD NOTHING",
        "The rule gone of checkpoints is unknown to AuthSec",
    ),
    "row security that is forced": (
        "ALTER TABLE sealed_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        "The table sealed_events is not what AuthSec expects: permanent, stored by heap, with row security",
    ),
    "an index of some rows": (
        "DROP INDEX ix_events_jti",
        "CREATE INDEX ix_events_jti ON events (jti) WHERE id <> 4",
        "The index ix_events_jti of events_2026_11 is not what AuthSec expects",
    ),
    "an index that is not valid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_2026_11_jti_idx'::regclass",
        "The index ix_events_jti of events_2026_11 is not what AuthSec expects: btree (jti text_ops default) not valid",
    ),
    "an index that is missing": ("DROP INDEX ix_events_client_id_id", "The index ix_events_client_id_id of events is"),
    "an index besides": (
        "CREATE INDEX more ON events_2026_11 (jti) WHERE id <> 4",
        "The index more of events_2026_11 is unknown to AuthSec",
    ),
    "a generated column": (
        "ALTER TABLE sealed_events ADD COLUMN more int GENERATED ALWAYS AS (1) STORED",
        "The column sealed_events.more is unknown to AuthSec: integer GENERATED s DEFAULT 1",
    ),
    "another collation": (
        'ALTER TABLE checkpoints ALTER COLUMN signed TYPE text COLLATE "C"',
        "The column checkpoints.signed is not what AuthSec expects: text COLLATE pg_catalog.C NOT NULL",
    ),
    "a collation": (
        'CREATE COLLATION other FROM "C"',
        "The collation public.other is unknown to AuthSec",
    ),
    "a column that may be empty": (
        "ALTER TABLE events ALTER jti DROP NOT NULL",
        "The column events.jti is not what AuthSec expects",
    ),
    "another default": (
        "ALTER TABLE events ALTER jti SET DEFAULT ''",
        "The column events.jti is not what AuthSec expects",
    ),
    "a constraint that is missing": (
        "ALTER TABLE sealed_events DROP CONSTRAINT uq_sealed_events_event_id",
        "The constraint uq_sealed_events_event_id of sealed_events is missing",
    ),
    "a constraint that is not validated": (
        "ALTER TABLE events ADD CONSTRAINT ck CHECK (jti <> '00000000000000000000000000000004') NOT VALID",
        "The constraint ck of events is unknown to AuthSec",
    ),
    "a child table": (
        "CREATE SCHEMA other",
        "CREATE TABLE other.more () INHERITS (sealed_events)",
        "The partition other.more is unknown to AuthSec",
    ),
    "a partition of other bounds": (
        "CREATE TABLE events_2025_01 PARTITION OF events FOR VALUES FROM ('2025-01-02') TO ('2025-02-01')",
        "The partition events_2025_01 is not what AuthSec expects",
    ),
    "a partition with another name": (
        "CREATE TABLE more PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2025-02-01')",
        "The partition more is unknown to AuthSec",
    ),
    "a materialised view": (
        "CREATE MATERIALIZED VIEW more AS SELECT 1",
        "The materialised view more is unknown to AuthSec",
    ),
    "an aggregate": (
        "CREATE AGGREGATE public.max(varchar) (SFUNC = pg_catalog.text_larger, STYPE = text)",
        "The function public.max(character varying) is unknown to AuthSec",
    ),
    "a cast": (
        "CREATE TYPE mine AS ENUM ('a')",
        "CREATE CAST (varchar AS mine) WITH INOUT AS IMPLICIT",
        "The cast from character varying to public.mine is unknown to AuthSec",
    ),
    "a cast between PostgreSQL's own types as a member of an extension": (
        "CREATE FUNCTION f(text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE CAST (text AS int) WITH FUNCTION f(text) AS IMPLICIT",
        "CREATE EXTENSION intagg",
        "ALTER EXTENSION intagg ADD CAST (text AS int)",
        "The cast from text to integer is unknown to AuthSec",
    ),
    "a type": ("CREATE DOMAIN public.text AS pg_catalog.text", "The type public.text is unknown to AuthSec"),
    "a column of a type of the same name": (
        "CREATE DOMAIN public.text AS pg_catalog.text",
        "ALTER TABLE checkpoints ALTER signed TYPE public.text",
        "The column checkpoints.signed is not what AuthSec expects: public.text",
    ),
    "an operator class": (
        "CREATE OPERATOR CLASS public.mine FOR TYPE int8 USING btree AS OPERATOR 3 =, FUNCTION 1 btint8cmp(int8, int8)",
        "The operator class public.mine is unknown to AuthSec",
    ),
    "a function in pg_catalog": (
        "SET LOCAL allow_system_table_mods = on",
        "CREATE FUNCTION pg_catalog.max(varchar, varchar) RETURNS text LANGUAGE sql AS 'SELECT $1'",
        "The function max(character varying,character varying) is unknown to AuthSec",
    ),
    "another operator behind an operator class": (
        "UPDATE pg_operator SET oprcode = 'textne'::regproc WHERE oid = '=(text,text)'::regoperator",
        "The operator =(text,text) is not what AuthSec expects: textne",
    ),
    "another conversion of texts": (
        "UPDATE pg_cast SET castcontext = 'e' WHERE castsource = 'varchar'::regtype AND casttarget = 'text'::regtype",
        "The cast from character varying to text is not what AuthSec expects: e b",
    ),
    "another count": (
        "UPDATE pg_aggregate SET aggtransfn = 'int8dec'::regproc WHERE aggfnoid = 'count()'::regprocedure",
        "The aggregate count() is not what AuthSec expects: int8dec",
    ),
    "another way to send times": (
        "UPDATE pg_type SET typsend = 'byteasend'::regproc WHERE oid = 'timestamptz'::regtype",
        "The type timestamp with time zone is not what AuthSec expects: timestamptz_in timestamptz_out"
        " timestamptz_recv byteasend",
    ),
    "a search path of a role": (
        "CREATE SCHEMA evil",
        "CREATE TABLE evil.events (id int)",
        "CREATE ROLE server",
        "GRANT INSERT ON events TO server",
        "ALTER ROLE server SET search_path = evil, public",
        "The role server finds evil.events instead of public.events: its schema comes first in the search path.",
    ),
    "a search path of the database, whose schema has an operator": (
        "CREATE SCHEMA evil",
        "CREATE FUNCTION evil.f(varchar, varchar) RETURNS bool LANGUAGE sql AS 'SELECT true'",
        "CREATE OPERATOR evil.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = evil.f)",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET search_path = public, evil', current_database()); END $$",
        "The operator evil.=(character varying,character varying) is unknown to AuthSec",
    ),
    "a setting that changes what statements mean": (
        "SET LOCAL transform_null_equals = on",
        "The setting transform_null_equals of this session is on, not off.",
    ),
    "triggers that are off for a role": (
        "CREATE ROLE server",
        "GRANT INSERT ON events TO server",
        "ALTER ROLE server SET session_replication_role = 'replica'",
        "The setting session_replication_role of the role server is replica",
    ),
}


@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.soak)])
def test_what_else_can_be_done_to_the_schema_on_postgresql_is_named(postgres_url: str, share: int) -> None:
    """All in one transaction: each trick is undone before the next one. In short runs, a sixth of the tricks."""
    database = open_database(postgres_url)
    missed: dict[str, list[str]] = {}

    def work(tx: Tx) -> None:
        audit.prepare_months(tx, NOW)
        for trick, (*statements, finding) in [*NAMED.items()][::share]:
            savepoint = tx.connection.begin_nested()
            for statement in statements:
                tx.connection.exec_driver_sql(statement)
            findings = schema_findings(tx.connection)
            if finding not in "\n".join(findings):
                missed[trick] = findings
            savepoint.rollback()
        raise Undone

    with pytest.raises(Undone):
        database.append(work)
    database.close()
    assert missed == {}


@pytest.mark.soak
def test_an_index_of_some_rows_whose_condition_is_erased_is_damaged(postgres_url: str) -> None:
    """A session keeps the condition that it has seen, so the reader comes later."""
    database = open_database(postgres_url)
    fill(database)
    for statement in (
        "DROP INDEX ix_events_jti",
        "CREATE INDEX ix_events_jti ON events (jti) WHERE jti <> '00000000000000000000000000000004'",
        "UPDATE pg_index SET indpred = NULL WHERE indexrelid IN"
        " (SELECT oid FROM pg_class WHERE relname ~ '^(ix_events_jti|events_.*_jti_idx)$')",
    ):
        database.append(partial(execute, statement=statement))
    database.close()
    later = open_database(postgres_url)
    found: list[Seen] = []

    def ask(tx: Tx) -> None:
        for statement in ("CREATE SCHEMA amcheck", "CREATE EXTENSION amcheck SCHEMA amcheck", "SET enable_seqscan = 0"):
            execute(tx, statement)
        found.append(seen(tx))
        raise Undone

    with pytest.raises(Undone):
        later.append(ask)
    later.append(partial(execute, statement="REINDEX TABLE events_default"))
    later.close()
    assert found[0].hidden
    assert "The index events_2026_11_jti_idx is damaged: heap tuple" in found[0].findings


def execute(tx: Tx, statement: str) -> None:
    tx.connection.execute(text(statement))


# SQLite: each trick is done to the file by another program, as its schema is read when it is opened.


@pytest.fixture
def file(tmp_path: Path, migrated_file: Path) -> Path:
    """A database file with an audit log, and nobody at it."""
    path = tmp_path / "authsec.sqlite3"
    path.write_bytes(migrated_file.read_bytes())
    database = open_database(f"sqlite:///{path}")
    fill(database)
    database.close()
    return path


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def seen_in(path: Path) -> Seen:
    database = open_database(f"sqlite:///{path}")
    try:
        return database.read(seen)
    finally:
        database.close()


INDEX = "CREATE INDEX ix_events_jti ON events (jti)"
WITHOUT = f"{INDEX} WHERE jti <> '00000000000000000000000000000004'"
AS_IT_WAS = (
    "PRAGMA writable_schema = on",
    f"UPDATE sqlite_master SET sql = '{INDEX}' WHERE name = 'ix_events_jti'",
    "PRAGMA writable_schema = reset",
)
HIDING_ON_SQLITE = {
    "an index with a condition, and its text as it was": (
        ("DROP INDEX ix_events_jti", WITHOUT, *AS_IT_WAS),
        "The database file is damaged: row 4 missing from index ix_events_jti",
    ),
    "an index on another page": (
        (
            "CREATE INDEX more ON events (jti) WHERE jti <> '00000000000000000000000000000004'",
            "PRAGMA writable_schema = on",
            "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'more')"
            " WHERE name = 'ix_events_jti'",
            "DELETE FROM sqlite_master WHERE name = 'more'",
            "PRAGMA writable_schema = reset",
        ),
        "The database file is damaged",
    ),
    "a view in place of the table": (
        (
            "PRAGMA legacy_alter_table = on",
            "ALTER TABLE events RENAME TO kept",
            "CREATE VIEW events AS SELECT * FROM kept WHERE jti <> '00000000000000000000000000000004'",
        ),
        "The view events of events is unknown to AuthSec",
    ),
    "a table with another collation": (
        (
            "UPDATE events SET jti = 'JTI-4' WHERE jti = '00000000000000000000000000000004'",
            "PRAGMA writable_schema = on",
            "UPDATE sqlite_master SET sql = replace(sql, 'jti VARCHAR(40) NOT NULL',"
            " 'jti VARCHAR(40) NOT NULL COLLATE NOCASE') WHERE name = 'events'",
            "PRAGMA writable_schema = reset",
            "REINDEX",
        ),
        "The table events is not what AuthSec expects",
    ),
}


@pytest.mark.parametrize("trick", some_of(HIDING_ON_SQLITE, each=2))
def test_a_trick_that_hides_an_event_on_sqlite_is_named(trick: str, file: Path) -> None:
    statements, finding = HIDING_ON_SQLITE[trick]
    assert seen_in(file) == Seen(hidden=False, findings="")
    run(file, *statements)
    found = seen_in(file)
    assert found.hidden
    assert finding in found.findings


NAMED_ON_SQLITE = {
    "an index of some rows": (
        "DROP INDEX ix_events_jti",
        "CREATE INDEX ix_events_jti ON events (jti) WHERE id != 4",
        "The index ix_events_jti of events is not what AuthSec expects: CREATE INDEX ix_events_jti ON events(jti)"
        "WHERE id != 4",
    ),
    "statistics": ("ANALYZE", "The table sqlite_stat1 is unknown to AuthSec"),
    "a trigger": (
        "CREATE TRIGGER gone BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END",
        "The trigger gone of events is unknown to AuthSec",
    ),
    "an index that is missing": ("DROP INDEX ix_events_jti", "The index ix_events_jti of events is missing"),
    "a generated column": (
        "ALTER TABLE events ADD COLUMN more TEXT GENERATED ALWAYS AS (jti) VIRTUAL",
        "The table events is not what AuthSec expects",
    ),
    "an index on an expression": (
        "CREATE INDEX more ON events (lower(jti))",
        "The index more of events is unknown to AuthSec",
    ),
    "a definition that is no text": (
        "PRAGMA writable_schema = on",
        "UPDATE sqlite_master SET sql = CAST(sql AS BLOB) WHERE name = 'ix_events_jti'",
        "PRAGMA writable_schema = off",
        "The index ix_events_jti of events is not what AuthSec expects",
    ),
    "a number that only the unique index has": (
        "DROP INDEX uq_events_at_count_key",
        "CREATE UNIQUE INDEX uq_events_at_count_key ON events (at, count_key) WHERE id != 4",
        "PRAGMA writable_schema = on",
        "UPDATE sqlite_master SET sql = 'CREATE UNIQUE INDEX uq_events_at_count_key ON events (at, count_key)'"
        " WHERE name = 'uq_events_at_count_key'",
        "PRAGMA writable_schema = reset",
        "row 4 missing from index uq_events_at_count_key",
    ),
}


@pytest.mark.parametrize("trick", some_of(NAMED_ON_SQLITE, each=2))
def test_what_else_can_be_done_to_the_schema_on_sqlite_is_named(trick: str, file: Path) -> None:
    *statements, finding = NAMED_ON_SQLITE[trick]
    run(file, *statements)
    assert finding in seen_in(file).findings


def test_a_database_file_in_another_encoding_is_named(file: Path) -> None:
    other = file.with_name("other.sqlite3")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(other)) as target:
        target.execute("PRAGMA encoding = 'UTF-16le'")
        target.executescript("\n".join(line for line in source.iterdump() if "sqlite_sequence" not in line))
    assert "The encoding is not what AuthSec expects: UTF-16le" in seen_in(other).findings
