"""A superuser changes PostgreSQL's own catalogs, so that the queries of readers lie about sealed events."""

from __future__ import annotations

import pytest
from audit_answers import answers, fill
from authsec_server.audit.sealing.verifying import Report, verify
from authsec_server.db import Database, Tx, system_catalogs
from authsec_server.db.integrity import compare_catalogs, integrity

pytestmark = pytest.mark.reads_catalog_indexes
# Each trick: its statements, and the finding.
TRICKS = {
    "date_trunc as an SQL function": (
        (
            "UPDATE pg_catalog.pg_proc SET prolang = (SELECT oid FROM pg_catalog.pg_language WHERE lanname = 'sql'),"
            " prosrc = 'SELECT $2 - (''24'' || $1)::interval'"
            " WHERE oid = 'pg_catalog.date_trunc(text, timestamptz)'::regprocedure",
        ),
        "PostgreSQL's own catalog pg_proc was changed; its newest rows: date_trunc(text,timestamp with time zone).",
    ),
    "a limit that is raised to less": (
        (
            "UPDATE pg_catalog.pg_proc SET prolang = (SELECT oid FROM pg_catalog.pg_language WHERE lanname = 'sql'),"
            " provolatile = 's', prosrc = 'SELECT $1 - ''4995''::pg_catalog.int8 * ($1 / 5000)'"
            " WHERE oid = 'pg_catalog.int8(int4)'::regprocedure",
        ),
        "PostgreSQL's own catalog pg_proc was changed; its newest rows: int8(integer).",
    ),
    "random hashes": (
        (
            "CREATE SCHEMA aside",
            "CREATE FUNCTION aside.mixed(bigint) RETURNS integer LANGUAGE sql VOLATILE"
            " AS 'SELECT (random() * 1000000)::int'",
            "UPDATE pg_catalog.pg_amproc SET amproc = 'aside.mixed(bigint)'::regprocedure"
            " WHERE amproc = 'pg_catalog.hashint8'::regproc AND amprocnum = 1 AND amproclefttype = 'int8'::regtype"
            " AND amprocrighttype = 'int8'::regtype",
            "SET LOCAL enable_nestloop = off",
            "SET LOCAL enable_mergejoin = off",
        ),
        "PostgreSQL's own catalog pg_amproc was changed; its newest rows: aside.mixed(bigint).",
    ),
    "numbers sorted by their lowest bytes": (
        (
            "UPDATE pg_catalog.pg_amproc SET amproc = 'pg_catalog.btint2sortsupport'::regproc"
            " WHERE amproc = 'pg_catalog.btint8sortsupport'::regproc",
            "SET LOCAL enable_indexscan = off",  # with other statistics PostgreSQL would sort nothing
            "SET LOCAL enable_indexonlyscan = off",
        ),
        "PostgreSQL's own catalog pg_amproc was changed; its newest rows: btint2sortsupport(internal).",
    ),
    "a count that begins below zero": (
        ("UPDATE pg_catalog.pg_aggregate SET agginitval = '-3' WHERE aggfnoid = 'pg_catalog.count()'::regprocedure",),
        "PostgreSQL's own catalog pg_aggregate was changed; its newest rows: count().",
    ),
    "another comparison of numbers": (
        (
            "UPDATE pg_catalog.pg_operator SET oprcode = 'pg_catalog.numeric_lt'::regproc"
            " WHERE oid = 'pg_catalog.>=(numeric, numeric)'::regoperator",
        ),
        "PostgreSQL's own catalog pg_operator was changed; its newest rows: >=(numeric,numeric).",
    ),
    "a function besides in a family": (
        (
            "CREATE FUNCTION public.equal(oid) RETURNS bool LANGUAGE sql AS 'SELECT false'",
            "ALTER OPERATOR FAMILY pg_catalog.float_ops USING btree ADD FUNCTION 4 (float8, float8) public.equal(oid)",
        ),
        "PostgreSQL's own catalog pg_amproc was changed; its newest rows: public.equal(oid).",
    ),
    "a cast that is gone": (
        ("DELETE FROM pg_catalog.pg_cast WHERE castsource = 'int4'::regtype AND casttarget = 'bool'::regtype",),
        "PostgreSQL's own catalog pg_cast was changed; its newest rows: ",
    ),
    "a catalog that this role may not read": (
        (
            "CREATE ROLE reader",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
            "REVOKE SELECT ON pg_catalog.pg_range FROM public",
            "SET LOCAL ROLE reader",
        ),
        "PostgreSQL's own catalog pg_range cannot be read: this role lacks the permission.",
    ),
    "a rule that shows another table in place of a catalog": (
        (
            "CREATE SCHEMA aside",
            "CREATE TABLE aside.kept AS TABLE pg_catalog.pg_policy",
            "CREATE VIEW aside.shown AS TABLE aside.kept",
            "INSERT INTO pg_catalog.pg_rewrite (oid, rulename, ev_class, ev_type, ev_enabled, is_instead, ev_qual,"
            " ev_action) SELECT 4000000000, rulename, 'pg_catalog.pg_policy'::regclass, ev_type, ev_enabled,"
            " is_instead, ev_qual, ev_action FROM pg_catalog.pg_rewrite WHERE ev_class = 'aside.shown'::regclass",
        ),
        "PostgreSQL's own catalog pg_rewrite was changed; its newest rows: aside.shown, pg_policy.",
    ),
    "a catalog with child tables": (
        ("UPDATE pg_catalog.pg_class SET relhassubclass = true WHERE oid = 'pg_catalog.pg_policy'::regclass",),
        "PostgreSQL's own catalog pg_class was changed; its newest rows: pg_policy.",
    ),
    "an estimate that fails": (
        (
            "UPDATE pg_catalog.pg_operator SET oprrest = 'internal_in'::regproc"
            " WHERE oid = 'pg_catalog.>=(timestamptz, timestamptz)'::regoperator",
        ),
        "PostgreSQL's own catalog pg_operator was changed; its newest rows: >=(timestamp with time zone,",
    ),
    "a check of indexes that checks nothing": (
        (
            "CREATE SCHEMA amcheck",
            "CREATE EXTENSION amcheck SCHEMA amcheck",
            "CREATE SCHEMA aside",
            "CREATE FUNCTION aside.bt_index_check(regclass) RETURNS void LANGUAGE c STRICT"
            " AS '$libdir/amcheck', 'bt_index_check'",
            "ALTER EXTENSION amcheck ADD FUNCTION aside.bt_index_check(regclass)",
            "CREATE FUNCTION aside.bt_index_check(regclass, boolean, boolean) RETURNS void LANGUAGE sql AS ''",
        ),
        "The function aside.bt_index_check(regclass, boolean, boolean) does not belong to amcheck.",
    ),
    "an operator with an oid of initdb": (
        (
            "CREATE FUNCTION public.hidden(varchar, varchar) RETURNS bool LANGUAGE sql AS 'SELECT false'",
            "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.hidden)",
            "UPDATE pg_catalog.pg_operator SET oid = 15999 WHERE oid = 'public.=(varchar, varchar)'::regoperator",
        ),
        "The operator public.=(character varying,character varying) is unknown to AuthSec",
    ),
}
NUMBERS = "SELECT setval(pg_get_serial_sequence('events', 'id'), 32750)"  # to both sides of 2^15
HIDING = set(list(TRICKS)[:4])
WITH_ALL = {"a check of indexes that checks nothing", "an operator with an oid of initdb"}


class _Undone(Exception):
    pass


@pytest.mark.parametrize("share", [36, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_changed_system_catalog_is_found(database: Database, share: int) -> None:
    """All in one transaction: each trick is undone before the next one. In short runs, each thirty-sixth trick.

    The tricks that change an answer are looked for by the whole of `verify`, and two that other parts of it find.
    """
    database.append(lambda tx: tx.connection.exec_driver_sql(NUMBERS))
    log = fill(database)
    said = database.read(lambda tx: answers(tx, log.covered))
    hiding, missed, names = set(), {}, [*TRICKS][::share]

    def attempt(tx: Tx) -> None:
        for trick in names:
            statements, finding = TRICKS[trick]
            savepoint = tx.connection.begin_nested()
            for statement in statements:
                tx.connection.exec_driver_sql(statement)
            if trick in HIDING and answers(tx, log.covered) != said:
                hiding.add(trick)
            if trick in HIDING | WITH_ALL:
                findings = verify(tx, log.keys, [log.checkpoint]).findings
            else:
                findings = compare_catalogs(tx.connection).findings
            if finding not in "\n".join(findings):
                missed[trick] = findings
            savepoint.rollback()
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert missed == {}
    assert hiding == HIDING & set(names)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_operator_that_makes_every_check_fail_is_a_finding(database: Database) -> None:
    log = fill(database)
    found: list[Report] = []

    def attempt(tx: Tx) -> None:
        tx.connection.exec_driver_sql(
            "UPDATE pg_catalog.pg_operator SET oprcode = 0 WHERE oid = 'pg_catalog.=(name, name)'::regoperator"
        )
        found.append(verify(tx, log.keys, [log.checkpoint]))
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert found[0].findings[0].startswith("PostgreSQL's own catalog pg_operator was changed")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_catalogs_of_an_unknown_version_are_not_compared_and_it_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_catalogs, "major_version", lambda _connection: 17)
    found = database.read(lambda tx: integrity(tx.connection))
    assert found.findings == ()
    (told,) = found.not_checked[:1]
    assert told.endswith(" were not compared: AuthSec knows the catalogs of version 18, not of version 17.")
