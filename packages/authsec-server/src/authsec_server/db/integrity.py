"""Find damage of the database itself: indexes that lack rows of their tables, and unreadable pages.

Readers find events through indexes. Two kinds of index hide events that the table still has: an index with
another condition, and an index that some writes did not update.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from authsec_server.db.catalog import conditions_of_indexes
from authsec_server.db.index_walk import walk_indexes
from authsec_server.db.postgresql_catalog import Skipped, careful, home, month_of, skipped_sentences
from authsec_server.db.postgresql_errors import NO_RIGHT, NOT_NOW, reason_of, sqlstate
from authsec_server.db.quoting import run_as_written
from authsec_server.db.sqlite_integrity import sqlite_damage
from authsec_server.db.text_check import postgresql_text_findings

if TYPE_CHECKING:
    from authsec_server.db.system_catalogs import CatalogComparison

MOST = 100  # findings of one check
_AWAY = {"08", "53", "57", "58"}  # classes of SQLSTATE: the server cannot serve now
_HOW = (
    "Run as a superuser: CREATE SCHEMA amcheck; CREATE EXTENSION amcheck SCHEMA amcheck;"
    " GRANT USAGE ON SCHEMA amcheck TO {role}; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA amcheck TO {role};"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """The damage of a database, as `findings`.

    `not_checked` has a sentence for each check that this database does not offer. `skipped` has a sentence for each
    required check that could not run. An attacker can revoke a right or keep a lock to prevent a check.
    If `is_readable` is false, SQLite could run foreign code to read a table, or the read could have no end.
    """

    findings: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    is_readable: bool = True


def integrity(connection: Connection, *, deep: bool = False, catalogs: CatalogComparison | None = None) -> Integrity:
    """Run the database's own check of its tables and indexes, in the caller's transaction.

    On PostgreSQL, the check first compares the system catalogs, because every other check depends on them. If the
    caller has compared them already, `catalogs` is the result. With `deep`, the check also follows each path
    through an index; meanwhile, no transaction can write to the table.

    The check reads the whole database, so the caller must allow long statements. Raises the driver's errors when
    the database is unreachable or busy.
    """
    if connection.dialect.name == "postgresql":
        return _of_postgresql(connection, catalogs or compare_catalogs(connection), deep=deep)
    findings, is_readable = sqlite_damage(connection)
    return Integrity(findings=tuple(findings), is_readable=is_readable)


def compare_catalogs(connection: Connection) -> CatalogComparison:
    """Compare PostgreSQL's own catalogs with those of a fresh server. No table of AuthSec is read."""
    from authsec_server.db.system_catalogs import compare_system_catalogs  # not imported on SQLite

    return compare_system_catalogs(connection)


def foreign_since(connection: Connection, known: Collection[str]) -> list[str]:
    """Return the findings about foreign code that are not in `known`. PostgreSQL only."""
    from authsec_server.db.system_catalogs import foreign_findings

    return [each for each in foreign_findings(connection) if each not in known]


def _of_postgresql(connection: Connection, catalogs: CatalogComparison, *, deep: bool) -> Integrity:
    not_compared = (catalogs.not_compared,) if catalogs.not_compared else ()
    savepoint = connection.begin_nested()
    try:
        found = _of_tables(connection, deep=deep)
    except DBAPIError as error:
        if not catalogs.findings or error.connection_invalidated or _is_away(error):
            raise
        savepoint.rollback()  # the changed catalogs make statements fail
        return Integrity(findings=catalogs.findings)
    savepoint.commit()
    return replace(
        found, findings=(*catalogs.findings, *found.findings), not_checked=(*not_compared, *found.not_checked)
    )


def _of_tables(connection: Connection, *, deep: bool) -> Integrity:
    ours = home(connection)
    if ours is None:
        return Integrity(findings=("The table events is missing.",))
    with careful(connection):
        findings, unread = _misplaced(connection, ours[0])
        walked = walk_indexes(connection, ours[0], conditions_of_indexes())
        check = _Amcheck(connection, deep=deep)
        check.run(ours[0])
        return Integrity(
            findings=(*findings, *walked.findings, *check.findings, *postgresql_text_findings(connection)),
            not_checked=() if deep else check.not_checked,
            skipped=(
                *skipped_sentences(connection, ours[0], [*unread, *walked.skipped]),
                *check.denied,
                *(check.not_checked if deep else ()),
            ),
        )


def _is_away(error: DBAPIError) -> bool:
    state = sqlstate(error)
    return not state or state[:2] in _AWAY


def _misplaced(connection: Connection, schema: int) -> tuple[list[str], list[Skipped]]:
    """Find partitions with events of other months, and partitions that the role may not read.

    A search by time does not find a misplaced event: PostgreSQL searches the partition of the event's month.
    """
    findings, unread = list[str](), list[Skipped]()
    partitions = connection.execute(
        text(
            "SELECT c.relname, c.oid::regclass::text AS qualified FROM pg_inherits h JOIN pg_class c"
            " ON c.oid = h.inhrelid JOIN pg_class p ON p.oid = h.inhparent"
            " WHERE p.relnamespace = :schema AND p.relname = 'events' AND c.relkind = 'r' ORDER BY 1"
        ),
        {"schema": schema},
    ).all()
    months = {month for row in partitions if (month := month_of(row.relname))}
    for row in partitions:
        own = month_of(row.relname)
        # PostgreSQL quotes `regclass::text`, so a name cannot change the statement.
        statement = f"SELECT DISTINCT to_char(at AT TIME ZONE 'UTC', 'YYYY_MM') FROM ONLY {row.qualified}"  # noqa: S608 - a quoted name
        savepoint = connection.begin_nested()
        try:
            there = run_as_written(connection, statement).scalars().all()
        except DBAPIError as error:
            savepoint.rollback()
            if sqlstate(error) != NO_RIGHT:
                raise
            unread.append(Skipped(row.relname, reason_of(error)))
            continue
        savepoint.commit()
        wrong = [month for month in there if (month != own if own else month in months)]
        if wrong:
            names = ", ".join(map(str, sorted(wrong)[:3]))
            findings.append(f"The partition {row.relname} has events of other months: {names}.")
    return findings, unread


class _Amcheck:
    """One run of PostgreSQL's extension amcheck over AuthSec's tables and the system catalogs."""

    def __init__(self, connection: Connection, *, deep: bool) -> None:
        self._connection = connection
        self._deep = deep
        self.findings: list[str] = []
        self.not_checked: tuple[str, ...] = ()  # one sentence at most
        self.denied: tuple[str, ...] = ()  # one sentence at most
        self._is_locked_out = False
        self._grants = ""

    def run(self, schema: int) -> None:
        """Check each table, and each B-tree index against its table.

        The check never calls a function that only has the name of an amcheck function, but reports it.
        """
        genuine: dict[str | None, Any] = {}
        for row in self._connection.execute(text(_FUNCTIONS)):
            if row.is_genuine:
                genuine[row.signature] = row
            else:
                self.findings.append(f"The function {row.qualified}({row.arguments}) does not belong to amcheck.")
        # Each argument has exactly the declared type: so the call resolves to this function and no other.
        wanted = _DEEP_CHECKS if self._deep else _CHECKS
        signature = next((each for each in wanted if each in genuine), None)
        role = self._connection.execute(text("SELECT format('%I', current_user)")).scalar_one()
        if signature is None:
            self.not_checked = (
                "The pages of the indexes were not checked, because PostgreSQL's extension amcheck is missing. "
                + _HOW.format(role=role),
            )
            return
        newest = [next((each for each in some if each in genuine), None) for some in (_CHECKS, _DEEP_CHECKS)]
        self._grants = _grants([genuine[each] for each in (*newest, _HEAP_CHECK) if each in genuine], role)
        for row in self._connection.execute(text(_BTREES), {"schema": schema, "catalogs": _catalogs()}).all():
            statement = f"SELECT {genuine[signature].qualified}({row.oid:d}::oid::regclass{wanted[signature]})"
            self._each(f"The index {row.name}", statement)
            if self._deep and self._is_locked_out:  # the next index would wait for its lock as well
                return
        if _HEAP_CHECK not in genuine:
            return
        heap_check = genuine[_HEAP_CHECK].qualified
        for row in self._connection.execute(text(_TABLES), {"schema": schema}).all():
            statement = (
                f"SELECT msg FROM {heap_check}({row.oid:d}::oid::regclass, false, true, 'none'::text,"  # noqa: S608 - a quoted name
                f" NULL::bigint, NULL::bigint) LIMIT {MOST}"
            )
            self._each(f"The table {row.name}", statement)

    def _each(self, what: str, statement: str) -> None:
        savepoint = self._connection.begin_nested()
        try:
            messages: list[Any] = list(run_as_written(self._connection, statement).scalars())
        except DBAPIError as error:
            savepoint.rollback()
            if error.connection_invalidated or _is_away(error):
                raise
            state, reason = sqlstate(error), reason_of(error)
            if state == NO_RIGHT:
                self.denied = (
                    f"The pages of the indexes were not all checked: {reason}. Run as a superuser: {self._grants}",
                )
            elif state in NOT_NOW:
                self._is_locked_out = True
                self._note(
                    f"{what} and others could not be checked now: {reason}. End the other transactions, or stop the"
                    " servers, and verify again."
                )
            elif len(self.findings) < MOST:
                self.findings.append(f"{what} is damaged: {reason}.")
            return
        savepoint.commit()
        self.findings += [f"{what} is damaged: {each}." for each in messages if each]

    def _note(self, sentence: str) -> None:
        self.not_checked = self.not_checked or (sentence,)


def _catalogs() -> list[int]:
    from authsec_server.db.catalog_copy import OIDS  # not imported on SQLite

    return [oid for _, oid in OIDS.values()]


def _grants(functions: Collection[Any], role: str) -> str:
    """Return the statements that allow the role to call these functions."""
    schemas = " ".join(
        f"GRANT USAGE ON SCHEMA {each} TO {role};" for each in dict.fromkeys(row.schema for row in functions)
    )
    signatures = ", ".join(f"{row.qualified}({row.arguments})" for row in functions)
    return f"{schemas} GRANT EXECUTE ON FUNCTION {signatures} TO {role};"


# The signatures, the newest first, and the arguments after the index: `heapallindexed`, then `rootdescend` (deep), then
# `checkunique` (since PostgreSQL 17).
_CHECKS = {
    "bt_index_check(regclass, boolean, boolean)": ", true, true",
    "bt_index_check(regclass, boolean)": ", true",
}
_DEEP_CHECKS = {
    "bt_index_parent_check(regclass, boolean, boolean, boolean)": ", true, true, true",
    "bt_index_parent_check(regclass, boolean, boolean)": ", true, true",
}
_HEAP_CHECK = "verify_heapam(regclass, boolean, boolean, text, bigint, bigint)"
# No membership in the extension shows that a function is genuine: `ALTER EXTENSION … ADD` makes any function a member.
_FUNCTIONS = """
SELECT format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)) AS signature,
    oidvectortypes(p.proargtypes) AS arguments, format('%I.%I', n.nspname, p.proname) AS qualified,
    format('%I', n.nspname) AS schema,
    l.lanname = 'c' AND p.probin = '$libdir/amcheck' AND p.prosrc = p.proname AND p.prokind = 'f'
    AND p.provolatile = 'v' AND p.proisstrict = (p.proname <> 'verify_heapam') AND NOT p.prosecdef
    AND p.prosupport::oid = 0 AND p.proconfig IS NULL AND p.proretset = (p.proname = 'verify_heapam') AS is_genuine
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE p.proname IN ('verify_heapam', 'bt_index_check', 'bt_index_parent_check')
"""
_BTREES = """
SELECT i.indexrelid::oid::bigint AS oid, x.relname AS name FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_am a ON a.oid = x.relam JOIN pg_class c ON c.oid = i.indrelid
WHERE x.relkind = 'i' AND a.amname = 'btree' AND c.relpersistence = 'p' AND (c.relnamespace = :schema
    OR c.oid IN (SELECT reltoastrelid FROM pg_class WHERE relnamespace = :schema)
    OR (NOT c.relisshared AND c.oid = ANY(CAST(:catalogs AS oid[]))))
ORDER BY 2
"""
_TABLES = """
SELECT c.oid::oid::bigint AS oid, c.relname AS name FROM pg_class c
WHERE c.relnamespace = :schema AND c.relkind = 'r' AND c.relpersistence = 'p' ORDER BY 2
"""
