"""Somebody undoes an honest change by code that is neither a trigger nor a rule of a table of AuthSec.

Before its commit, a change on PostgreSQL looks for triggers, rules and expressions of the tables. PostgreSQL runs code
of others from other places, too: a trigger of a view that has the name of a table, the operator class of an index, an
operator that the statements of an open session find first, and the operator class that chooses a nested partition. The
delegation stays live after an acknowledged revocation, the digests include what the code wrote, and no check finds the
row once the code is removed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.delegations import service as delegations
from authsec_server.failures import Unavailable
from long_runs import some_of
from sealed_estate import sealed_estate
from sqlalchemy import text

IDLE = "CREATE FUNCTION keep() RETURNS void LANGUAGE plpgsql AS 'BEGIN END'"
KEEP = (
    "CREATE OR REPLACE FUNCTION keep() RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
    " IF current_setting('kept.now', true) = 'yes' THEN RETURN; END IF;"
    " PERFORM set_config('kept.now', 'yes', true);"
    " UPDATE delegations SET revoked_at = NULL WHERE slug = 'first' AND revoked_at IS NOT NULL;"
    " PERFORM set_config('kept.now', '', true); END $$"
)
OPERATORS = {"<<<": "text_lt", "<<=": "text_le", "===": "texteq", ">>=": "text_ge", ">>>": "text_gt"}
WAYS = {
    "a view in the place of the table": (
        (
            "CREATE TABLE foreign_keys AS"
            " SELECT conrelid::regclass::text AS of, conname, pg_get_constraintdef(oid) AS def"
            " FROM pg_constraint WHERE contype = 'f' AND 'delegations'::regclass IN (conrelid, confrelid)",
            "DO $$ DECLARE each record; BEGIN FOR each IN SELECT * FROM foreign_keys LOOP"
            " EXECUTE format('ALTER TABLE %%s DROP CONSTRAINT %%I', each.of, each.conname); END LOOP; END $$",
            "ALTER TABLE delegations RENAME TO away",
            "CREATE VIEW delegations AS SELECT * FROM away",
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
            "CREATE TRIGGER kept INSTEAD OF UPDATE ON delegations FOR EACH ROW EXECUTE FUNCTION keep()",
        ),
        (
            "DROP VIEW delegations",
            "DROP FUNCTION keep()",
            "ALTER TABLE away RENAME TO delegations",
            "DO $$ DECLARE each record; BEGIN FOR each IN SELECT * FROM foreign_keys LOOP"
            " EXECUTE format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', each.of, each.conname, each.def);"
            " END LOOP; END $$",
            "DROP TABLE foreign_keys",
        ),
    ),
    "the operator class of an index": (
        (
            IDLE,
            "CREATE FUNCTION compared(text, text) RETURNS integer LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM public.keep(); RETURN bttextcmp($1, $2); END $$",
            *(
                f"CREATE OPERATOR {name} (LEFTARG = text, RIGHTARG = text, FUNCTION = {function})"
                for name, function in OPERATORS.items()
            ),
            "CREATE OPERATOR CLASS kept FOR TYPE text USING btree AS"
            " OPERATOR 1 <<<, OPERATOR 2 <<=, OPERATOR 3 ===, OPERATOR 4 >>=, OPERATOR 5 >>>,"
            " FUNCTION 1 compared(text, text)",
            "CREATE INDEX kept ON events_default (kind kept)",
            KEEP,
        ),
        (
            "DROP INDEX kept",
            "DROP OPERATOR FAMILY kept USING btree",
            *(f"DROP OPERATOR {name} (text, text)" for name in OPERATORS),
            "DROP FUNCTION compared(text, text)",
            "DROP FUNCTION keep()",
        ),
    ),
    "an operator that a statement finds first": (
        (
            IDLE,
            "CREATE FUNCTION compared(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM public.keep(); RETURN texteq($1, $2); END $$",
            "CREATE OPERATOR pg_catalog.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = compared)",
            KEEP,
        ),
        (
            "DROP OPERATOR pg_catalog.= (varchar, varchar)",
            "DROP FUNCTION compared(varchar, varchar)",
            "DROP FUNCTION keep()",
        ),
    ),
    "the partition key of a partition": (
        (
            IDLE,
            "CREATE FUNCTION compared(timestamptz, timestamptz) RETURNS integer LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM public.keep(); RETURN timestamptz_cmp($1, $2); END $$",
            "CREATE OPERATOR CLASS kept FOR TYPE timestamptz USING btree AS"
            " OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,"
            " FUNCTION 1 compared(timestamptz, timestamptz)",
            "ALTER TABLE events DETACH PARTITION events_default",
            "ALTER TABLE events_default RENAME TO away",
            "CREATE TABLE events_default PARTITION OF events DEFAULT PARTITION BY RANGE (at kept)",
            "CREATE TABLE part PARTITION OF events_default FOR VALUES FROM ('2000-01-01') TO ('3000-01-01')",
            "INSERT INTO events SELECT * FROM away",
            "TRUNCATE away",
            KEEP,
        ),
        (
            "INSERT INTO away SELECT * FROM events_default",
            "DROP TABLE events_default",
            "ALTER TABLE away RENAME TO events_default",
            "ALTER TABLE events ATTACH PARTITION events_default DEFAULT",
            "DROP OPERATOR FAMILY kept USING btree",
            "DROP FUNCTION compared(timestamptz, timestamptz)",
            "DROP FUNCTION keep()",
        ),
    ),
}
REVOKED_AT = text("SELECT revoked_at FROM delegations WHERE slug = 'first'")


def execute(database: Database, statements: tuple[str, ...]) -> None:
    for each in statements:
        database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)


@pytest.mark.parametrize("way", some_of(WAYS, each=2))
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_revocation_that_is_undone_without_a_trigger_is_refused_or_found(estate: Any, way: str) -> None:
    sealed, database = sealed_estate(estate), estate.database
    added, removed = WAYS[way]
    execute(database, added)
    try:
        estate.do(lambda tx, act: delegations.revoke(tx, act, "first", estate.terms))
    except Unavailable:
        return
    finally:
        execute(database, removed)
    sealed.seal()
    assert estate.events()[-1].kind == "delegation.revoked"
    now = estate.act.now + timedelta(minutes=10)
    report = database.check(lambda tx: verify(tx, sealed.keys.by_kid(), now=now))
    is_revoked = database.read(lambda tx: tx.connection.execute(REVOKED_AT).scalar_one()) is not None
    assert is_revoked or report.findings
