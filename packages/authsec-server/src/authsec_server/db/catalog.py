"""Compare the database's schema with the schema that the migrations make.

The comparison covers tables, columns, indexes, triggers and every other object in the database. A view, a
trigger or an index with another condition can hide events that the table still has. The package contains the
reference listings; `scripts/renew_schema_listings.py` makes them.
"""

from __future__ import annotations

import json
import re
import sys
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from importlib import resources
from typing import Any, NamedTuple

from sqlalchemy import Connection

from authsec_server.db import postgresql_catalog
from authsec_server.db.migrate import is_newer, is_older, newest_revision, revision_of, stored_releases
from authsec_server.db.postgresql_catalog import CALLING, MONTH, SCHEMA, Listing, SchemaObject
from authsec_server.db.releases import order_of, shown, this_release
from authsec_server.db.schema_code import has_all_of, lacks_a_table, may_run_code, may_run_unread
from authsec_server.db.sqlite_reading import any_text

OBJECTS = "objects"
LONGEST = 300  # characters of a definition in a finding
MOST_UNKNOWN = 50  # unknown objects that are named: somebody can add very many
_VERSIONS = "alembic_version"
WITHOUT_ROWID = "WITHOUT ROWID"
_LONGEST_SQL = 4_000  # octets of a value in `sqlite_master`; AuthSec's have less than 2,000
# Forged statistics lead readers to an index that lacks rows, or to a slow index.
_STATISTICS = {
    f"table {name}": "ANALYZE or PRAGMA optimize made it. Its statistics can lead readers to another index."
    f" Run DROP TABLE {name}."
    for name in ("sqlite_stat1", "sqlite_stat4")
}
# A quotation without an end matches all the rest: otherwise the search would begin again at each quotation mark.
_QUOTED = r"""'(?:[^']|'')*+(?:'|\Z)|"(?:[^"]|"")*+(?:"|\Z)|`(?:[^`]|``)*+(?:`|\Z)|\[[^\]]*+(?:\]|\Z)"""
# SQLite's own white space; Python's \s has characters that are part of a name there.
_TOKEN = re.compile(rf"{_QUOTED}|[ \t\n\f\r]+")
_AUTHORITY = "table authority"
_PLAIN_COLUMNS = re.compile(
    r"(?:,[a-z][a-z0-9_]* (?:BIGINT|BLOB|BOOLEAN|DATETIME|INTEGER|TEXT|VARCHAR)(?:\([0-9]+\))?"
    r"(?: ?DEFAULT (?:'[^']*'|[0-9]+))?(?: ?NOT NULL)?)*+"
)
_FOREIGN_KEY = re.compile(r"FOREIGN KEY \((\w+)\) REFERENCES SCHEMA\.(\w+)\((\w+)\)( ON DELETE CASCADE)?")


class ForeignKey(NamedTuple):
    """A foreign key of one column. A row of `table` refers to the row of `parent` with this value.

    If `cascades`, the database deletes the row together with the row of `parent`.
    """

    table: str
    column: str
    parent: str
    parent_column: str
    cascades: bool


class SchemaComparison(NamedTuple):
    """A sentence for each difference, and whether PostgreSQL could run foreign code for an object that differs.

    For the schema of another AuthSec, `other_version` says how to check the database, and there is no finding.
    `is_current` says whether the tables may have the columns that this program reads.
    """

    findings: list[str]
    may_run_code: bool = False
    other_version: str = ""
    is_current: bool = True


def schema_findings(connection: Connection) -> list[str]:
    """Return the findings of `compare_schema`."""
    return compare_schema(connection).findings


def compare_schema(connection: Connection) -> SchemaComparison:
    """Find the objects that are missing, unexpected or different from the migrations' schema.

    The function lists the objects before it reads a table of AuthSec. PostgreSQL's planner runs functions in the
    condition of an index, and SQLite unfolds a view that has a table's name: an attacker can put code there.
    """
    found = listing_of(connection)
    reference = reference_listing(connection.dialect.name)
    parts = [("", found.objects, reference[OBJECTS])]
    parts += [(name, found.months[name], reference.get(_parent(name), {})) for name in sorted(found.months)]
    may_run = connection.dialect.name == "postgresql" and (
        any(may_run_code(objects, expected) for _, objects, expected in parts)
        or any(may_run_unread(*each, reference[OBJECTS]) for each in found.unread)
    )
    revision = newest_revision() if may_run else _revision(connection, found, reference[OBJECTS])
    if is_older(revision) or is_newer(revision):
        return SchemaComparison([], other_version=_other_version(connection, found, reference[OBJECTS], revision))
    if connection.dialect.name == "postgresql":
        may_run |= lacks_a_table(found.objects, reference[OBJECTS])
    if revision != newest_revision():
        of_version = (
            f"The schema has version {shown(revision, 100)}, but this program can check only version"
            f" {newest_revision()}. Start the server on this database first, or verify with the program of that"
            " version."
        )
        return SchemaComparison([of_version], may_run, is_current=False)
    findings = [*found.findings]
    for name, objects, expected in parts:
        month = name[-len(MONTH) :]
        of_part = _differences(objects, expected, 0 if name else found.others)
        findings += [each.replace(MONTH, month) if name else each for each in of_part]
    return SchemaComparison([each.replace(SCHEMA, f"{found.schema}.") for each in findings], may_run)


def _other_version(connection: Connection, found: Listing, expected: Mapping[str, str], revision: str) -> str:
    """Return how to check a database with the schema of another AuthSec.

    The attack: raw SQL writes another version, so that `verify` finds nothing. So the sentence says what to expect.
    """
    has = f"The database has schema {revision}, and this version of AuthSec ({this_release()}) checks only"
    doubt = "somebody changed the version of the schema."
    if is_older(revision):
        return (
            f"{has} schema {newest_revision()}, so nothing was checked. Verify with the version of the servers, or "
            "upgrade the schema first: authsec db upgrade. If nobody used an older version or restored its backup, "
            f"{doubt}"
        )
    of_release = "the version of AuthSec that made this schema"
    if _may_read_authority(connection, found, expected):
        made_by = stored_releases(connection).made_by
        of_release = f"AuthSec {shown(made_by)}" if order_of(made_by) else of_release
    return (
        f"{has} schema {newest_revision()}, so nothing was checked. Verify with {of_release}. If nobody installed that "
        f"version, {doubt}"
    )


def _may_read_authority(connection: Connection, found: Listing, expected: Mapping[str, str]) -> bool:
    """Whether `authority` is a table with the columns of the migrations. A newer AuthSec may have added columns."""
    if connection.dialect.name == "postgresql":
        return has_all_of("authority", found.objects, expected)
    tables = [each for each in found.objects if each.name == _AUTHORITY]
    return len(tables) == 1 and is_extension(tables[0].definition, expected[_AUTHORITY])


def is_extension(definition: str, expected: str) -> bool:
    """Whether this normalised definition of a SQLite table is the expected one, maybe with plain columns added.

    A plain column is nullable or has a constant default, and has no other constraint. So it changes no write. SQLite
    puts an added column before the constraints of the table.
    """
    place = expected.find(",CONSTRAINT ")
    place = place if place >= 0 else expected.rfind(")")
    added = len(definition) - len(expected)
    if added < 0 or definition[:place] + definition[place + added :] != expected:
        return False
    return _PLAIN_COLUMNS.fullmatch(definition, place, place + added) is not None


def listing_of(connection: Connection, most: int = MOST_UNKNOWN) -> Listing:
    """List all objects of the database that decide how the database reads rows.

    On SQLite, the list has at most `most` objects that are unknown to AuthSec, and `most` that differ. On PostgreSQL,
    the columns of unknown tables are left out if `most` has its default.
    """
    if connection.dialect.name == "postgresql":
        return postgresql_catalog.listing(connection, _known_names() if most == MOST_UNKNOWN else None)
    with any_text(connection, "backslashreplace"):
        kept = _ListedObjects(reference_listing("sqlite")[OBJECTS], most)
        indexes = dict(_indexes_in_use(connection))
        for each in sqlite_objects(connection):
            kept.add(replace(each, definition=normalised(each.definition)))
            indexes.pop(each.name, None)
        return Listing(objects=kept.objects, others=kept.others, findings=[*indexes.values()])


class _ListedObjects:
    """The objects of an SQLite file: all objects that AuthSec makes, and only some others.

    The attack: very many rows of the schema share the pages of one long text, so that all definitions together are
    much larger than the file.
    """

    def __init__(self, expected: Mapping[str, str], most: int) -> None:
        self._expected = expected
        self._most = most
        self._unknown: list[SchemaObject] = []  # sorted; a report names these objects
        self._copies = Counter[SchemaObject]()  # of `_unknown`
        self._known = Counter[SchemaObject]()
        self._differing: set[str] = set()  # names of differing objects that are in `_known`
        self.others = 0

    def add(self, each: SchemaObject) -> None:
        if each.name not in self._expected:
            self._add_unknown(each)
        elif each in self._known or each.definition == self._expected[each.name]:
            self._known[each] += 1
        elif each.name not in self._differing or len(self._known) < len(self._expected) + self._most:
            self._known[each] += 1
            self._differing.add(each.name)
        else:
            self.others += 1

    def _add_unknown(self, each: SchemaObject) -> None:
        if each not in self._copies:
            insort(self._unknown, each, key=_whole_first)
        self._copies[each] += 1
        if len(self._unknown) > self._most:
            self.others += self._copies.pop(self._unknown.pop())

    @property
    def objects(self) -> list[SchemaObject]:
        """Return the objects. An object with an expected name occurs as often as in the file."""
        return [*self._known.elements(), *self._unknown]


def genuine_objects(found: Listing, expected: Mapping[str, str]) -> dict[str, str]:
    """Return the definitions of the unchanged objects of the migrations, by object name."""
    number = Counter(each.name for each in found.objects)
    return {
        each.name: each.definition
        for each in found.objects
        if number[each.name] == 1 and expected.get(each.name) == each.definition
    }


def listing_text(connection: Connection) -> str:
    """Return the reference listing as JSON text, in the form of the package's listing files.

    The migrations must have made the database, and it must have one monthly partition. Raises `ValueError` for a
    database with findings, or with two objects of the same name.
    """
    found = listing_of(connection, most=sys.maxsize)
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

    The key `objects` has the objects outside partitions. For each partitioned table, the key with the table's
    name has the objects of one partition.
    """
    file = resources.files("authsec_server") / "db" / "listings" / f"{dialect}.json"
    document: Mapping[str, Mapping[str, str]] = json.loads(file.read_text("utf-8"))
    return document


def _known_names() -> frozenset[str]:
    """Return the names of all objects that the migrations make on PostgreSQL, in partitions as well."""
    return frozenset(name for part in reference_listing("postgresql").values() for name in part)


def tables_of_authsec() -> list[str]:
    """Return the names of the tables that the migrations make on PostgreSQL, without the monthly partitions."""
    names = reference_listing("postgresql")[OBJECTS]
    return [name.removeprefix("table ") for name in names if name.startswith("table ")]


@cache
def foreign_keys() -> Sequence[ForeignKey]:
    """Return the foreign keys that the migrations make, the same on both databases. Each has one column."""
    objects = reference_listing("postgresql")[OBJECTS]
    found = ((name.rpartition(" of ")[2], _FOREIGN_KEY.match(definition)) for name, definition in objects.items())
    return [ForeignKey(table, its[1], its[2], its[3], its[4] is not None) for table, its in found if its]


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


def _revision(connection: Connection, found: Listing, expected: Mapping[str, str]) -> str:
    """Return the version of the schema, or `none`. If the table with the version differs, return this program's one.

    The attack: another type of the column, or a view of this name, ends the check. The list may have left out the view.
    """
    if has_all_of(_VERSIONS, found.objects, expected):
        return revision_of(connection) or "none"
    is_missing = not found.others and not any(each.name.lower().endswith(_VERSIONS) for each in found.objects)
    return "none" if is_missing else newest_revision()


def _differences(found: Sequence[SchemaObject], expected: Mapping[str, str], others: int = 0) -> Iterator[str]:
    number = Counter(each.name for each in found)
    unknown = sorted((each for each in set(found) if each.name not in expected), key=_whole_first)
    for each in unknown[:MOST_UNKNOWN]:
        yield f"The {_short(each.name)} is unknown to AuthSec: {_STATISTICS.get(each.name) or _short(each.definition)}"
    if more := len(unknown[MOST_UNKNOWN:]) + others:
        yield f"And {more:,} others are unknown to AuthSec."
    for each in sorted(set(found) - set(unknown)):
        if each.definition != expected[each.name]:
            yield f"The {each.name} is not what AuthSec expects: {_short(each.definition)}"
        elif number[each.name] > 1:
            yield f"The {each.name} occurs {number[each.name]} times."
    for name in sorted(expected.keys() - number.keys()):
        yield f"The {name} is missing."


def _whole_first(each: SchemaObject) -> tuple[bool, bool, SchemaObject]:
    """Sort statistics first, because they have a remedy. Sort columns and indexes last, because a table has many."""
    return each.name not in _STATISTICS, each.name.startswith(("column ", "constraint ", "index ")), each


def _short(definition: str) -> str:
    shown = " ".join(definition.split())
    return (shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…") or "no definition can be shown."


def sqlite_objects(connection: Connection) -> Iterable[SchemaObject]:
    """Read every row of `sqlite_master` as bytes, and also read the text encoding of the file.

    The definitions are not `normalised`.

    An attacker who writes the file by hand can store values of any type and length in `sqlite_master`. An index on
    `sqlite_master` could show other rows, so the statement uses no index.
    """
    columns = ("type", "name", "tbl_name", "sql")
    octets = ", ".join(
        f"typeof({name}), substr(CAST({name} AS BLOB), 1, {_LONGEST_SQL}), length(CAST({name} AS BLOB))"
        for name in columns
    )
    for row in connection.exec_driver_sql(f"SELECT {octets} FROM sqlite_master NOT INDEXED"):  # noqa: S608 - of constants
        kind, name, table, definition = (_text(*row[place : place + 3]) for place in range(0, 12, 3))
        what = f"{kind} {name}" if kind == "table" and name == table else f"{kind} {name} of {table}"
        yield SchemaObject(what, definition)
    encoding: str = connection.exec_driver_sql("PRAGMA encoding").scalar_one()
    yield SchemaObject("encoding", encoding)


def _indexes_in_use(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield each index that SQLite uses for a table of AuthSec, and the finding if `sqlite_master` does not show it.

    Only the pragma as a statement is safe: somebody can give a table or a view the name of the pragma's function.
    """
    tables = [each for each in reference_listing("sqlite")[OBJECTS].items() if each[0].startswith("table ")]
    for name, definition in [("table sqlite_master", ""), *tables]:
        table = name.removeprefix("table ")
        for index in connection.exec_driver_sql(f"PRAGMA main.index_list({table})"):
            # The primary key of a table `WITHOUT ROWID` is the table itself.
            is_table = index.origin == "pk" and definition.endswith(WITHOUT_ROWID)
            if not is_table:
                yield (
                    f"index {index.name} of {table}",
                    f"SQLite uses the index {index.name} of {table}, which the schema of the file does not show.",
                )


def _text(kind: str, octets: Any, length: int | None) -> str:
    """Decode the value as text. If the value is not text, append its type; if it was cut, append its length.

    Such a value therefore never equals a text of AuthSec.
    """
    shown = "" if octets is None else bytes(octets).decode("utf-8", "backslashreplace")
    if (length or 0) > _LONGEST_SQL:
        return f"{shown} ({length:,} octets)"
    return shown if kind in {"text", "null"} else f"{shown} ({kind})"


@lru_cache(maxsize=500)  # `verify` reads each definition twice
def normalised(sql: str) -> str:
    """Replace white space in the statement by single spaces, and remove it beside brackets and commas.

    Quoted parts stay unchanged.
    """
    kept = _TOKEN.sub(lambda found: found[0] if found[0].strip(" \t\n\f\r") else " ", sql)
    parts = re.split(f"({_QUOTED})", kept.strip(" "))
    return "".join(part if place % 2 else re.sub(r" ?([(),]) ?", r"\1", part) for place, part in enumerate(parts))
