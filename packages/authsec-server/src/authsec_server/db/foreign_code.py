"""Find foreign code: code that is not AuthSec's and that PostgreSQL runs when a session only plans or reads.

The attack: the planner evaluates the expressions of extended statistics, and event triggers run beside a
statement of AuthSec. Both can run functions of the attacker in the session of a server or of `verify`. Such a
function sets another search path or makes temporary tables, so that the session reads other tables.

Each session therefore runs this check first. The check reads the catalogs with `COPY`, which PostgreSQL does
not plan. The check also prepares a statement that is never executed. The description of the statement has the
oid of each catalog, so no other table can pose as a catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from struct import unpack_from
from typing import Any, Final

import psycopg
from psycopg import generators

from authsec_server.db.postgresql_queries import FIRST_UNPINNED

_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END: Final = b"\xff\xff"
_NO_VALUE: Final = 0xFFFFFFFF
_HARMLESS: Final = frozenset({b"n", b"p", b"u"})  # constraints on catalogs, by initdb: NOT NULL, PRIMARY KEY, UNIQUE
# The catalogs that checks read with COPY, each with a column of it and its oid.
_OIDS: Final = {
    "pg_aggregate": ("aggfnoid", 2600),
    "pg_am": ("oid", 2601),
    "pg_amop": ("oid", 2602),
    "pg_amproc": ("oid", 2603),
    "pg_attrdef": ("oid", 2604),
    "pg_attribute": ("attrelid", 1249),
    "pg_cast": ("oid", 2605),
    "pg_class": ("oid", 1259),
    "pg_collation": ("oid", 3456),
    "pg_constraint": ("oid", 2606),
    "pg_conversion": ("oid", 2607),
    "pg_event_trigger": ("oid", 3466),
    "pg_index": ("indexrelid", 2610),
    "pg_inherits": ("inhrelid", 2611),
    "pg_language": ("oid", 2612),
    "pg_opclass": ("oid", 2616),
    "pg_operator": ("oid", 2617),
    "pg_opfamily": ("oid", 2753),
    "pg_proc": ("oid", 1255),
    "pg_range": ("rngtypid", 3541),
    "pg_rewrite": ("oid", 2618),
    "pg_statistic_ext": ("oid", 3381),
    "pg_trigger": ("oid", 2620),
    "pg_type": ("oid", 1247),
}
_Fields = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class ForeignCode:
    """Foreign code that PostgreSQL would run: a sentence that describes the code, and how to remove it."""

    finding: str
    remedy: str


@dataclass(frozen=True, slots=True)
class _Place:
    """A catalog that can have foreign code.

    `columns` are the columns to read. `is_foreign` says whether a row with these columns has foreign code.
    `describe` makes the finding from such a row.
    """

    catalog: str
    columns: str
    is_foreign: Callable[[_Fields], bool]
    describe: Callable[[_Fields], ForeignCode]


def _oid(field: bytes | None) -> int:
    return int.from_bytes(field or b"")


def _is_catalog(field: bytes | None) -> bool:
    return 0 < _oid(field) < FIRST_UNPINNED


def _statistics(row: _Fields) -> ForeignCode:
    return ForeignCode(
        f"The extended statistics {_name(row[0])} have an expression, which PostgreSQL runs while it plans.",
        "Run DROP STATISTICS, also if an operator made them on purpose. Statistics of plain columns may stay.",
    )


def _event_trigger(row: _Fields) -> ForeignCode:
    return ForeignCode(
        f"The database has the event trigger {_name(row[0])}: it runs code of others in the sessions of AuthSec.",
        "Run DROP EVENT TRIGGER for each row of pg_event_trigger, or give AuthSec a database of its own.",
    )


def _on_catalog(what: str) -> Callable[[_Fields], ForeignCode]:
    def describe(row: _Fields) -> ForeignCode:
        return ForeignCode(
            f"PostgreSQL's own catalog with the oid {_oid(row[0])} has {what} that PostgreSQL does not make.",
            f"SELECT {_oid(row[0])}::regclass names the catalog. Find who changed it, and restore a backup.",
        )

    return describe


def _name(field: bytes | None) -> str:
    return (field or b"").decode("utf-8", "backslashreplace")


_IN_ANY_PLACE: Final = (
    _Place("pg_statistic_ext", "stxname, stxexprs", lambda row: row[1] is not None, _statistics),
    _Place("pg_event_trigger", "evtname", lambda _: True, _event_trigger),
)
_ON_CATALOGS: Final = (
    _Place(
        "pg_index",
        "indrelid, indexrelid, indexprs, indpred",
        lambda row: _is_catalog(row[0]) and (not _is_catalog(row[1]) or (row[2], row[3]) != (None, None)),
        _on_catalog("an index"),
    ),
    _Place("pg_attrdef", "adrelid", lambda row: _is_catalog(row[0]), _on_catalog("a default")),
    _Place("pg_rewrite", "ev_class", lambda row: _is_catalog(row[0]), _on_catalog("a rule")),
    _Place("pg_inherits", "inhparent", lambda row: _is_catalog(row[0]), _on_catalog("a child table")),
    _Place("pg_trigger", "tgrelid", lambda row: _is_catalog(row[0]), _on_catalog("a trigger")),
    _Place(
        "pg_constraint",
        "conrelid, contype",
        lambda row: _is_catalog(row[0]) and row[1] not in _HARMLESS,
        _on_catalog("a constraint"),
    ),
)


def foreign_code(driver: psycopg.Connection[Any], *, briefly: bool = False) -> Iterator[ForeignCode]:
    """Yield the foreign code that PostgreSQL would run in this session.

    `briefly` leaves out code that is attached to PostgreSQL's own catalogs. If the role may not read a catalog,
    the caller can afterwards only roll back its transaction.
    """
    checks = _IN_ANY_PLACE if briefly else (*_IN_ANY_PLACE, *_ON_CATALOGS)
    if replaced := next(replaced_catalogs(driver, tuple(check.catalog for check in checks)), None):
        yield replaced
        return
    for check in checks:
        try:
            rows = [_fields(row) for row in copied_rows(driver, check.catalog, check.columns)]
        except psycopg.errors.InsufficientPrivilege:
            yield ForeignCode(
                f"PostgreSQL's own catalog {check.catalog} cannot be read: this role was denied it.",
                f"Run as a superuser: GRANT SELECT ON pg_catalog.{check.catalog} TO PUBLIC.",
            )
            return
        yield from (check.describe(row) for row in rows if check.is_foreign(row))


def replaced_catalogs(driver: psycopg.Connection[Any], names: tuple[str, ...] = tuple(_OIDS)) -> Iterator[ForeignCode]:
    """Yield a finding for each of these catalogs that was replaced: its name leads to another table.

    PostgreSQL plans no statement for this check.
    """
    driver.wait(_described(driver, driver.pgconn.send_prepare, b"", _never_executed(names)))
    described = driver.wait(_described(driver, driver.pgconn.send_describe_prepared, b""))
    for column, name in enumerate(names):
        if (oid := described.ftable(column)) != _OIDS[name][1]:
            yield ForeignCode(
                f"PostgreSQL's own catalog {name} was replaced: the table of this name has the oid {oid}.",
                "Find who changed it, and restore a backup.",
            )


@cache
def _never_executed(names: tuple[str, ...]) -> bytes:
    columns = ", ".join(f"{name}.{_OIDS[name][0]}" for name in names)
    return f"SELECT {columns} FROM {', '.join(f'pg_catalog.{name}' for name in names)}".encode()  # noqa: S608 - of constants


def _described(driver: psycopg.Connection[Any], send: Callable[..., None], *arguments: bytes) -> Any:
    send(*arguments)
    (result,) = yield from generators.execute(driver.pgconn)
    if result.status not in {psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.TUPLES_OK}:
        raise psycopg.errors.error_from_result(result)
    return result


def copied_rows(driver: psycopg.Connection[Any], catalog: str, columns: str) -> Iterator[bytes]:
    """Yield each row of the catalog as `COPY` sends it: the number of fields, then each field after its length."""
    copying = f"COPY pg_catalog.{catalog} ({columns}) TO STDOUT (FORMAT binary)"
    with driver.cursor() as cursor, cursor.copy(copying.encode()) as copy:
        for block in copy:
            row = bytes(block).removeprefix(_HEADER)
            if row and row != _END:
                yield row


def _fields(row: bytes) -> _Fields:
    found: list[bytes | None] = []
    place = 2
    while place < len(row):
        (length,) = unpack_from(">I", row, place)
        place += 4
        if length == _NO_VALUE:
            found.append(None)
            continue
        found.append(row[place : place + length])
        place += length
    return found
