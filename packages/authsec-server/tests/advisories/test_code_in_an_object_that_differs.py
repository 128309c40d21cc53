"""Raw SQL puts code into objects that PostgreSQL reads, plans or compares when `verify` reads a table.

`verify` read `alembic_version` before it knew whether an object calls foreign code, and without a bound. Then it looked
for such calls only in definitions. But the index of a child table in another schema has no definition in the listing,
a new function in `pg_catalog` looks like PostgreSQL's own, and an indexed value is compared by functions of its type.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Tx
from authsec_server.db.migrate import newest_revision
from long_runs import some_of
from sealed_estate import Undone, sealed_estate

_BODY = (
    " LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN IF current_setting('application_name') <> 'planting' THEN"
    " RAISE EXCEPTION 'the trap ran'; END IF; RETURN {value}; END $$"
)
_TRAP = "CREATE FUNCTION {schema}.trap() RETURNS boolean" + _BODY.format(value="true")
EVIL = ("CREATE SCHEMA evil", _TRAP.format(schema="evil"))
NEWER = f"UPDATE alembic_version SET version_num = '{int(newest_revision()) + 1:04}'"
WAYS = {
    "the version": (*EVIL, "CREATE INDEX planned ON alembic_version (version_num) WHERE evil.trap()"),
    "a child": (
        *EVIL,
        "CREATE TABLE evil.child () INHERITS (signing_keys)",
        "CREATE INDEX planned ON evil.child (state) WHERE evil.trap()",
    ),
    "a child, and a newer version": (
        *EVIL,
        "CREATE TABLE evil.child () INHERITS (authority)",
        "CREATE INDEX planned ON evil.child (version) WHERE evil.trap()",
        NEWER,
    ),
    "a partition": (
        *EVIL,
        "CREATE TABLE evil.part PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')",
        "CREATE INDEX planned ON evil.part (jti) WHERE evil.trap()",
    ),
    "a view": (
        *EVIL,
        "ALTER TABLE signing_keys SET SCHEMA evil",
        "CREATE VIEW signing_keys AS SELECT * FROM evil.signing_keys WHERE evil.trap()",
    ),
    "a view of an extension": (
        *EVIL,
        "ALTER TABLE number_ranges SET SCHEMA evil",
        "CREATE VIEW number_ranges AS SELECT * FROM evil.number_ranges WHERE evil.trap()",
        "ALTER EXTENSION plpgsql ADD VIEW number_ranges",
    ),
    "a type with its own hashes": (
        "CREATE SCHEMA evil",
        "CREATE TYPE evil.c AS (n integer)",
        "CREATE FUNCTION evil.eq(evil.c, evil.c) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.n = $2.n'",
        "CREATE OPERATOR evil.= (LEFTARG = evil.c, RIGHTARG = evil.c, FUNCTION = evil.eq)",
        "CREATE FUNCTION evil.h(evil.c) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
        "CREATE FUNCTION evil.hx(evil.c, bigint) RETURNS bigint" + _BODY.format(value="1"),
        "CREATE OPERATOR CLASS evil.ch DEFAULT FOR TYPE evil.c USING hash AS OPERATOR 1 evil.=,"
        " FUNCTION 1 evil.h(evil.c), FUNCTION 2 evil.hx(evil.c, bigint)",
        "CREATE TABLE bait (a evil.c)",
        "INSERT INTO bait VALUES (ROW(1)::evil.c)",
        "CREATE INDEX planned ON bait (a)",
    ),
    "a function in pg_catalog": (
        _TRAP.format(schema="pg_catalog"),
        "CREATE INDEX planned ON signing_keys (state) WHERE pg_catalog.trap()",
    ),
    "a row policy": (
        *EVIL,
        "ALTER TABLE signing_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        "CREATE POLICY planned ON signing_keys USING (evil.trap())",
    ),
    "a cast": (
        *EVIL,
        "CREATE TYPE evil.e AS ENUM ('a')",
        "CREATE FUNCTION evil.shown(evil.e) RETURNS text" + _BODY.format(value="''"),
        "CREATE CAST (evil.e AS text) WITH FUNCTION evil.shown(evil.e)",
        "ALTER TABLE trusted_issuers ADD COLUMN e evil.e DEFAULT 'a'",
    ),
}
VERSIONS = {
    "very many": ("INSERT INTO alembic_version SELECT 'v' || n FROM generate_series(1, 20000) n",),
    "a long one": (
        "ALTER TABLE alembic_version ALTER version_num TYPE text, DROP CONSTRAINT alembic_version_pkc",
        "INSERT INTO alembic_version VALUES (repeat('x', 1000000))",
    ),
    "no text": ("ALTER TABLE alembic_version ALTER version_num TYPE timestamptz USING 'infinity'::timestamptz",),
}

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def report_after(estate: Any, *statements: str) -> Report:
    """Verify after these statements in one transaction, and undo the transaction."""
    sealed, reports = sealed_estate(estate), list[Report]()
    keys = sealed.keys.by_kid()

    def work(tx: Tx) -> None:
        run = tx.connection.exec_driver_sql
        for statement in ("SET LOCAL application_name = 'planting'", *statements):
            run(statement)
        run("SET LOCAL application_name = 'verifying'")
        reports.append(verify(tx, keys, now=estate.act.now))
        raise Undone

    with pytest.raises(Undone):
        estate.database.append(work)
    return reports[0]


@pytest.mark.parametrize("way", some_of(WAYS, each=5))
def test_no_table_is_read_where_code_of_others_could_run(estate: Any, way: str) -> None:
    findings = "\n".join(report_after(estate, *WAYS[way]).findings)
    assert "No table was read, because PostgreSQL could run code of others" in findings, findings
    assert "the trap ran" not in findings


@pytest.mark.parametrize("way", some_of(VERSIONS))
def test_the_read_of_the_version_has_a_bound(estate: Any, way: str) -> None:
    report = report_after(estate, *VERSIONS[way])
    assert report.findings
    assert all(len(each) < 400 for each in report.findings)


def test_harmless_objects_end_no_check(estate: Any) -> None:
    changed = report_after(
        estate,
        "UPDATE events SET address = '192.0.2.99' WHERE id = (SELECT min(id) FROM events)",
        "CREATE TABLE others (id uuid PRIMARY KEY, names text[] DEFAULT '{}', at timestamptz CHECK (at > now()))",
        "ALTER TABLE roles ADD COLUMN note varchar(20) NOT NULL DEFAULT ''",
        "CREATE INDEX planned ON roles (note, id DESC) WHERE note <> ''",
        "CREATE VIEW listed AS SELECT * FROM others",
    )
    findings = "\n".join(changed.findings)
    assert "was changed" in findings
    assert "The view listed is unknown to AuthSec" in findings
