"""Rights that a check of PostgreSQL lacks: which tables it skipped, and the statements that grant the rights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from authsec_server.db.postgresql_catalog import careful
from authsec_server.db.postgresql_queries import LACKED_FUNCTIONS, LACKED_TABLES

NO_RIGHT: Final = "42501"
NOT_NOW: Final = frozenset({"40001", "55P03"})  # a lock of somebody else


@dataclass(frozen=True, slots=True)
class Skipped:
    """A table of which something could not be checked, and why."""

    table: str
    reason: str


def sqlstate(error: DBAPIError) -> str:
    """PostgreSQL's code of the error; empty for an error of the connection."""
    return getattr(error.orig, "sqlstate", None) or ""


def reason_of(error: DBAPIError) -> str:
    """The first line of PostgreSQL's own words."""
    return str(error.orig).partition("\n")[0]


def skipped_sentences(connection: Connection, schema: int, skipped: Iterable[Skipped]) -> Iterator[str]:
    """The checks that were skipped, and the statements that help. The tables of one reason share a sentence."""
    left: dict[str, set[str]] = {}
    for each in skipped:
        left.setdefault(each.reason, set()).add(each.table)
    if not left:
        return
    with careful(connection):
        rows = connection.execute(text(LACKED_TABLES), {"schema": schema}).all()
        functions = connection.execute(text(LACKED_FUNCTIONS)).all()
    unreadable = {row.name: row for row in rows}
    denied = sorted({table for tables in left.values() for table in tables if table in unreadable})
    if denied:
        yield (
            f"The role {rows[0].role} has no right to read {', '.join(denied)}: so they were not compared with their"
            f" indexes and months. {_grants([unreadable[name] for name in denied])}"
        )
    for reason, tables in left.items():
        if others := sorted(tables - unreadable.keys()):
            lacked = [row.signature for row in functions if row.name in reason]
            grants = " ".join(f"GRANT EXECUTE ON FUNCTION pg_catalog.{each} TO PUBLIC;" for each in lacked)
            remedy = f"Run as a superuser: {grants}" if lacked else "Verify again."
            yield f"The indexes of {', '.join(others)} were not compared with their tables: {reason}. {remedy}"


def _grants(tables: list[Any]) -> str:
    """For the tables that are there, and for those that servers will make."""
    first = tables[0]
    owners = " ".join(
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {first.schema} GRANT SELECT ON TABLES TO {first.role};"
        for owner in sorted({row.owner for row in tables})
    )
    return f"Run as a superuser: GRANT SELECT ON ALL TABLES IN SCHEMA {first.schema} TO {first.role}; {owners}"
