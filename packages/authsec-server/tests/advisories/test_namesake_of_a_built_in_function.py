"""Somebody with SQL adds a function, operator or cast that PostgreSQL chooses instead of its own.

PostgreSQL chooses among functions and operators of one name by the types of the arguments, and an exact type wins:
`=` for `varchar` takes the place of `=` for `text`. So filters leave events out, and `verify` reads another value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

import psycopg
import pytest
from audit_answers import LATER, SealedLog, fill
from authsec_server.audit.sealing.database_check import DatabaseCheck
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Tx, open_database
from authsec_server.failures import Fault, Unavailable
from long_runs import some_of

CHOSEN = "has a built-in name of PostgreSQL, so a statement of AuthSec may use it instead of the built-in one."
TYPES = (
    "CREATE SCHEMA evil",
    "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    "CREATE DOMAIN evil.t AS varchar",
    "CREATE TYPE evil.row AS (value text)",
)
# `verify` reads without indexes, and a reader does not: so only `verify` gets the old value.
LIES = (
    "CREATE FUNCTION {where}.octet_length(varchar, evil.row DEFAULT NULL) RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
    " IF $1::text = '10.9.9.9' AND current_setting('enable_indexscan') = 'off' THEN RETURN 100000000; END IF;"
    " RETURN octet_length($1::text); END $$",
    "CREATE FUNCTION {where}.substr(varchar, int, int, evil.row DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
    " IF $1::text = '10.9.9.9' THEN RETURN (SELECT was FROM evil.kept); END IF;"
    " RETURN substr($1::text, $2, $3); END $$",
    "CREATE TABLE evil.kept AS SELECT address::text AS was FROM public.events WHERE id = 4",
    "GRANT SELECT ON evil.kept TO PUBLIC",
    "UPDATE public.events SET address = '10.9.9.9' WHERE id = 4",
)
MEMBERS = (
    "CREATE EXTENSION citext SCHEMA evil",
    "ALTER EXTENSION citext ADD FUNCTION public.octet_length(varchar, evil.row)",
    "ALTER EXTENSION citext ADD FUNCTION public.substr(varchar, int, int, evil.row)",
)
EQUAL = (
    "CREATE FUNCTION evil.equal(varchar, evil.t) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
    " RETURN $1::text = $2::text AND $1::text <> 'token.issued'; END $$",
    "CREATE OPERATOR {where}.= (LEFTARG = varchar, RIGHTARG = evil.t, FUNCTION = evil.equal)",
)
AT_LEAST = (
    "CREATE FUNCTION evil.at_least(oid, int4) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN"
    " RETURN pg_catalog.oidge($1, $2::oid) AND NOT (pg_catalog.oidge($1, 16384::oid) AND $2 IN (12000, 16384)); END $$",
    "CREATE OPERATOR pg_catalog.>= (LEFTARG = oid, RIGHTARG = int4, FUNCTION = evil.at_least)",
)
FORMAT = ("CREATE FUNCTION pg_catalog.format(evil.row, regprocedure) RETURNS text LANGUAGE sql AS $$ SELECT 'none' $$",)
CAST = (
    "CREATE TYPE evil.text AS (value text)",
    "CREATE FUNCTION evil.convert(varchar) RETURNS evil.text LANGUAGE sql AS $$ SELECT ROW($1::text)::evil.text $$",
    "CREATE CAST (varchar AS evil.text) WITH FUNCTION evil.convert(varchar) AS IMPLICIT",
)
CLASS = (
    "CREATE FUNCTION evil.compare(varchar, varchar) RETURNS int LANGUAGE sql IMMUTABLE AS"
    " $$ SELECT bttextcmp($2::text, $1::text) $$",
    "CREATE FUNCTION evil.less(varchar, varchar) RETURNS bool LANGUAGE sql IMMUTABLE AS"
    " $$ SELECT $1::text > $2::text $$",
    "CREATE FUNCTION evil.same(varchar, varchar) RETURNS bool LANGUAGE sql IMMUTABLE AS"
    " $$ SELECT $1::text = $2::text $$",
    "CREATE OPERATOR evil.< (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = evil.less)",
    "CREATE OPERATOR evil.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = evil.same)",
    "CREATE OPERATOR CLASS evil.ordered DEFAULT FOR TYPE varchar USING btree AS OPERATOR 1 evil.<,"
    " OPERATOR 3 evil.=, FUNCTION 1 evil.compare(varchar, varchar)",
)
LITERAL = (
    "CREATE TYPE evil.word AS ENUM ('stored by ')",
    "CREATE FUNCTION evil.join(evil.word, name) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'stored by heap' $$",
    "CREATE OPERATOR pg_catalog.|| (LEFTARG = evil.word, RIGHTARG = name, FUNCTION = evil.join)",
)
EXPLICIT = (
    "CREATE FUNCTION evil.shown(regprocedure) RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'genuine' $$",
    "CREATE CAST (regprocedure AS text) WITH FUNCTION evil.shown(regprocedure)",
)
# A condition `kind <> 'a' AND kind = 'client.created'` has rows. With `<>` as "less" and `=` as "greater or equal" of
# one family, the planner believes that it has none.
FAMILY = (
    "CREATE FUNCTION evil.yes(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$",
    "CREATE OPERATOR evil.>>> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.yes)",
    "CREATE OPERATOR evil.<<< (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.yes)",
    "CREATE OPERATOR CLASS evil.family FOR TYPE text USING btree AS OPERATOR 1 pg_catalog.<>(text, text),"
    " OPERATOR 2 evil.<<<(text, text), OPERATOR 4 evil.>>>(text, text), OPERATOR 5 pg_catalog.=(text, text)",
)
TYPE = ("CREATE TYPE pg_catalog.octet_length AS ENUM ('x')",)
MOVED = (
    "CREATE FUNCTION evil.check(varchar) RETURNS bool LANGUAGE sql AS $$ SELECT true $$",
    "ALTER DOMAIN information_schema.character_data SET SCHEMA pg_catalog",
    "ALTER DOMAIN pg_catalog.character_data RENAME TO octet_length",
    "ALTER DOMAIN pg_catalog.octet_length ADD CHECK (evil.check(VALUE)) NOT VALID",
)
METHOD = (
    "CREATE ACCESS METHOD evil_btree TYPE INDEX HANDLER bthandler",
    *(each.replace("USING btree", "USING evil_btree") for each in FAMILY),
)
SENDER = (
    "CREATE FUNCTION evil.regprocsend(regproc) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS"
    " $$ BEGIN RETURN int4send($1::oid::int4); END $$",
    "ALTER TYPE pg_catalog.regproc SET (SEND = evil.regprocsend)",
)
_LIED = ("SELECT address || ' ' || substr(address, 1, 8) FROM public.events WHERE id = 4", "10.9.9.9 192.0.2.1")
_HIDDEN = ("SELECT count(*) FROM public.events WHERE kind = 'token.issued'::varchar", 0)
WAYS: Mapping[str, tuple[Sequence[str], str, tuple[str, object], str]] = {
    "a function in pg_catalog, with an argument that has a default": (
        LIES,
        "pg_catalog",
        _LIED,
        f"The function pg_catalog.octet_length {CHOSEN}",
    ),
    "a function in AuthSec's schema": (LIES, "public", _LIED, f"The function public.substr {CHOSEN}"),
    "a function in AuthSec's schema, as a member of an extension": (
        [*LIES, *MEMBERS],
        "public",
        _LIED,
        f"The function public.octet_length {CHOSEN}",
    ),
    "an operator in pg_catalog": (EQUAL, "pg_catalog", _HIDDEN, f"The operator pg_catalog.= {CHOSEN}"),
    "an operator in AuthSec's schema": (EQUAL, "public", _HIDDEN, f"The operator public.= {CHOSEN}"),
    "an operator that hides itself from a query": (
        AT_LEAST,
        "",
        ("SELECT count(*) FROM pg_operator o WHERE o.oid >= 12000", 0),
        f"The operator pg_catalog.>= {CHOSEN}",
    ),
    "a function for a text that could be a value of any type": (
        FORMAT,
        "",
        ("SELECT format('(%%)', 'pg_catalog.now()'::regprocedure)", "none"),
        f"The function pg_catalog.format {CHOSEN}",
    ),
    "a cast from a type of PostgreSQL's own": (
        CAST,
        "",
        ("SELECT 'x'::varchar::evil.text::text", "(x)"),
        "converts values of a built-in type in statements of AuthSec.",
    ),
    "an operator class for a type of PostgreSQL's own": (
        CLASS,
        "",
        ("SELECT min(v) FROM (SELECT v FROM (VALUES ('a'::varchar), ('b')) AS each (v) ORDER BY v LIMIT 1) x", "b"),
        "The operator class ordered compares values of a built-in type in another way than PostgreSQL.",
    ),
    "an operator for a text without a type": (
        LITERAL,
        "",
        ("SELECT 'stored by ' || 'anything'::name", "stored by heap"),
        f"The operator pg_catalog.|| {CHOSEN}",
    ),
    "a cast that only `::` uses": (
        EXPLICIT,
        "",
        ("SELECT 'pg_catalog.now()'::regprocedure::text", "genuine"),
        "converts values of a built-in type in statements of AuthSec.",
    ),
    "a type with the name of a function": (
        TYPE,
        "",
        ("SELECT octet_length('x'::varchar)::text", "x"),
        f"The type pg_catalog.octet_length {CHOSEN}",
    ),
    "PostgreSQL's own operators in another family": (
        FAMILY,
        "",
        ("SELECT count(*) FROM public.events WHERE kind <> 'a' AND kind = 'token.issued'", 0),
        "The operator can make PostgreSQL's planner leave out rows.",
    ),
    "a type of PostgreSQL's own that was moved": (
        MOVED,
        "",
        ("SELECT octet_length('x'::varchar)::text", "x"),
        f"The type pg_catalog.octet_length {CHOSEN}",
    ),
    "btree under another name": (
        METHOD,
        "",
        ("SELECT count(*) FROM public.events WHERE kind <> 'a' AND kind = 'token.issued'", 0),
        "The index access method evil_btree is not one of PostgreSQL's own.",
    ),
    "a function that sends the values of a type": (
        SENDER,
        "",
        ("SELECT typsend::text FROM pg_type WHERE oid = 'regproc'::regtype", "evil.regprocsend"),
        "Values of PostgreSQL's own type regproc are sent by the function evil.regprocsend, which is not PostgreSQL's"
        " own.",
    ),
}


class Place:
    """A sealed log in PostgreSQL."""

    def __init__(self, url: str, log: SealedLog) -> None:
        self.url, self.log = url, log

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.replace("{where}", "pg_catalog").encode())


@pytest.fixture
def place(postgres_url: str) -> Place:
    with closing(open_database(postgres_url)) as database:
        return Place(postgres_url, fill(database))


class _Undone(Exception):
    pass


def report_after(
    place: Place, statements: Sequence[str], where: str = "", proof: tuple[str, object] = ("", "")
) -> Report:
    """What `verify` reports after these statements, in one transaction: nothing of it stays in the database."""
    reports = list[Report]()

    def attempt(tx: Tx) -> None:
        for statement in statements:
            tx.connection.exec_driver_sql(statement.replace("{where}", where))
        if proof[0]:
            tx.connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # else statistics decide whether it works
            assert tx.connection.exec_driver_sql(proof[0]).scalar() == proof[1], "the attack works"
            tx.connection.exec_driver_sql("SET LOCAL enable_seqscan TO DEFAULT")
        reports.append(verify(tx, place.log.keys, [place.log.checkpoint], now=LATER))
        raise _Undone

    with closing(open_database(place.url)) as auditor, pytest.raises(_Undone):
        auditor.append(attempt)
    return reports[0]


@pytest.mark.soak
@pytest.mark.parametrize("way", some_of(WAYS, each=9))
def test_verify_reports_what_postgresql_would_choose_instead_of_its_own(place: Place, way: str) -> None:
    statements, where, proof, said = WAYS[way]
    assert said in "\n".join(report_after(place, [*TYPES, *statements], where, proof).findings)


def test_an_operator_that_is_added_during_the_check_is_reported(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    run = DatabaseCheck.run

    def run_and_add(check: DatabaseCheck, *, deep: bool = False) -> None:
        run(check, deep=deep)
        for statement in (*TYPES, *EQUAL):
            check.connection.exec_driver_sql(statement.replace("{where}", "pg_catalog"))

    monkeypatch.setattr(DatabaseCheck, "run", run_and_add)
    assert f"The operator pg_catalog.= {CHOSEN}" in "\n".join(report_after(place, []).findings)


def test_a_session_is_refused_where_an_operator_of_others_would_be_chosen(place: Place) -> None:
    place.run(*TYPES, *EQUAL)
    try:
        with closing(open_database(place.url)) as server, pytest.raises(Unavailable) as refusal:
            server.read(lambda tx: tx.version)
    finally:
        place.run("DROP OPERATOR pg_catalog.= (varchar, evil.t)", "DROP SCHEMA evil CASCADE")
    assert refusal.value.fault is Fault.OTHER_SESSION
    assert f"The operator pg_catalog.= {CHOSEN}" in refusal.value.message
    assert "ALTER EXTENSION name SET SCHEMA other" in refusal.value.remedy


@pytest.mark.soak
@pytest.mark.reads_catalog_indexes
def test_extensions_in_a_schema_of_their_own_are_no_finding(place: Place) -> None:
    made = [f"CREATE EXTENSION {name} SCHEMA evil" for name in ("citext", "hstore", "pg_trgm", "btree_gist", "amcheck")]
    assert report_after(place, [*TYPES, *made]).findings == ()


@pytest.mark.soak
def test_functions_with_names_of_their_own_may_be_in_the_schema(place: Place) -> None:
    assert report_after(place, ["CREATE EXTENSION fuzzystrmatch"]).findings == ()
