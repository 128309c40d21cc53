"""Compare the database's schema with the schema that the migrations make.

The comparison covers tables, columns, indexes, triggers and every other object in the database. An index with
another condition, a view or a trigger hides events from readers, although the table still has them. The
package contains the reference listings; `scripts/renew_schema_listings.py` makes them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from sqlalchemy import Connection

from authsec_server.db import postgresql_catalog
from authsec_server.db.migrate import newest_revision, revision_of
from authsec_server.db.postgresql_catalog import CALLING, MONTH, SCHEMA, Listing, SchemaObject

OBJECTS = "objects"
LONGEST = 300  # characters of a definition in a finding
# Forged statistics lead readers to an index that lacks rows, or to a slow one.
_STATISTICS = {
    f"table {name}": "ANALYZE or PRAGMA optimize made it, and its numbers can lead readers to another index."
    f" Run DROP TABLE {name}."
    for name in ("sqlite_stat1", "sqlite_stat4")
}
# A quotation without an end, as in a comment, takes all the rest: else its search begins again at each mark.
_QUOTED = r"""'(?:[^']|'')*+(?:'|\Z)|"(?:[^"]|"")*+(?:"|\Z)|`(?:[^`]|``)*+(?:`|\Z)|\[[^\]]*+(?:\]|\Z)"""
# SQLite's own white space; Python's \s has characters that are part of a name there.
_TOKEN = re.compile(rf"{_QUOTED}|[ \t\n\f\r]+")


def schema_findings(connection: Connection) -> list[str]:
    """Return a sentence for each object that is missing, unexpected or different from the migrations' schema.

    No table of AuthSec is read before its objects are listed: the planner runs functions of an index's condition.
    """
    found = listing_of(connection)
    revision = revision_of(connection) or "none"
    if revision != newest_revision():
        return [
            f"The schema is of version {revision}, and this program can check version {newest_revision()} only:"
            " start the server on this database first, or verify with the program of that version."
        ]
    reference = reference_listing(connection.dialect.name)
    findings = [*found.findings, *_differences(found.objects, reference[OBJECTS])]
    for partition, objects in sorted(found.months.items()):
        month = partition[-len(MONTH) :]
        expected = reference.get(_parent(partition), {})
        findings += [each.replace(MONTH, month) for each in _differences(objects, expected)]
    return [each.replace(SCHEMA, f"{found.schema}.") for each in findings]


def listing_of(connection: Connection) -> Listing:
    """List all objects of the database that decide how the database reads rows."""
    if connection.dialect.name == "postgresql":
        return postgresql_catalog.listing(connection)
    return Listing(objects=list(_sqlite_objects(connection)))


def listing_text(connection: Connection) -> str:
    """Return the reference listing as JSON text, in the form of the package's listing files.

    The database must be one that the migrations made, with one monthly partition.
    Raises `ValueError` for a database with findings, or with two objects of one name.
    """
    found = listing_of(connection)
    if found.findings:
        raise ValueError(f"this database is no reference: {found.findings[0]}")
    parts = {OBJECTS: found.objects} | {_parent(name): objects for name, objects in found.months.items()}
    document = {part: {each.name: each.definition for each in sorted(objects)} for part, objects in parts.items()}
    if any(len(document[part]) != len(objects) for part, objects in parts.items()):
        raise ValueError("two objects of this database have one name")
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


@cache
def reference_listing(dialect: str) -> Mapping[str, Mapping[str, str]]:
    """Load the definitions of the objects that the migrations make, by object name.

    The key `objects` has the general objects. The name of a partitioned table has the objects of one partition.
    """
    file = resources.files("authsec_server") / "db" / "listings" / f"{dialect}.json"
    document: Mapping[str, Mapping[str, str]] = json.loads(file.read_text("utf-8"))
    return document


def conditions_of_indexes() -> frozenset[str]:
    """Return the conditions of the partial indexes that the migrations make on PostgreSQL."""
    objects = reference_listing("postgresql")[OBJECTS]
    return frozenset(
        definition.partition(" WHERE ")[2].partition(CALLING)[0]
        for name, definition in objects.items()
        if name.startswith("index ") and " WHERE " in definition
    )


def _parent(partition: str) -> str:
    return partition[: -len(MONTH) - 1]


def _differences(found: Sequence[SchemaObject], expected: Mapping[str, str]) -> Iterator[str]:
    number = Counter(each.name for each in found)
    for each in sorted(set(found)):
        if each.name not in expected:
            more = _STATISTICS.get(each.name) or _short(each.definition)
            yield f"The {each.name} is not one that AuthSec makes: {more}"
        elif each.definition != expected[each.name]:
            yield f"The {each.name} is not the one that AuthSec makes: {_short(each.definition)}"
        elif number[each.name] > 1:
            yield f"The {each.name} is there {number[each.name]} times."
    for name in sorted(expected.keys() - number.keys()):
        yield f"The {name} is missing."


def _short(definition: str) -> str:
    shown = " ".join(definition.split())
    return (shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…") or "nothing more is known of it."


def _sqlite_objects(connection: Connection) -> Iterable[SchemaObject]:
    """Read every row of `sqlite_master` as bytes, and the encoding of the file.

    An attacker who writes `sqlite_master` by hand can put values of any type there.
    """
    columns = ("type", "name", "tbl_name", "sql")
    octets = ", ".join(f"typeof({name}), CAST({name} AS BLOB)" for name in columns)
    for row in connection.exec_driver_sql(f"SELECT {octets} FROM sqlite_master"):  # noqa: S608 - of constants
        kind, name, table, definition = (_text(row[place], row[place + 1]) for place in range(0, 8, 2))
        what = f"{kind} {name}" if kind == "table" and name == table else f"{kind} {name} of {table}"
        yield SchemaObject(what, normalised(definition))
    encoding: str = connection.exec_driver_sql("PRAGMA encoding").scalar_one()
    yield SchemaObject("encoding", encoding)


def _text(kind: str, octets: Any) -> str:
    """Decode the value as text, and append the type of a value that is not text.

    So a value of another type never equals a text.
    """
    shown = "" if octets is None else bytes(octets).decode("utf-8", "backslashreplace")
    return shown if kind in {"text", "null"} else f"{shown} ({kind})"


def normalised(sql: str) -> str:
    """Reduce white space in the statement to single spaces, and to none beside brackets and commas.

    Quoted parts stay unchanged.
    """
    kept = _TOKEN.sub(lambda found: found[0] if found[0].strip(" \t\n\f\r") else " ", sql)
    parts = re.split(f"({_QUOTED})", kept.strip(" "))
    return "".join(part if place % 2 else re.sub(r" ?([(),]) ?", r"\1", part) for place, part in enumerate(parts))
