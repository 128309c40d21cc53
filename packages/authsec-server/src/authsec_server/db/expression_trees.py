"""List the calls in PostgreSQL's stored expressions. An expression is stored as a tree. Its text may hide a call."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, text

from authsec_server.db.postgresql_queries import FIRST_UNPINNED, NAMES_OF_OIDS

_FUNCTION = re.compile(r":(?:func|opfunc|hashfunc|negfunc|aggfno|winfno)id ([1-9][0-9]*)")
_OPERATOR = re.compile(r":opno ([1-9][0-9]*)")
_OPERATORS = re.compile(r":opnos \(o ([0-9 ]+)\)")
_TYPE = re.compile(r":\w*type(?:id)? ([1-9][0-9]*)")
_COLLATION = re.compile(r":\w*collid ([1-9][0-9]*)")
_CONSTANT = re.compile(r":consttype ([0-9]+)")
_COLUMN = re.compile(r"\{VAR :varno (\d+) :varattno (-?\d+) [^{}]*?:varnosyn (\d+) :varattnosyn (-?\d+)")


def called(connection: Connection, trees: Sequence[str]) -> list[list[str]]:
    """Return the parts of each stored expression that its text may not show, sorted.

    These are the names of the functions, operators, foreign types and foreign collations, the type of each constant,
    and columns that the text shows under the name of another column.

    The attack: a superuser stores an expression that calls another function than its text names, or that has a constant
    of another type with the same text.
    """
    keys = [sorted(_oids(tree)) for tree in trees]
    oids: dict[str, list[int]] = {kind: [] for kind in ("function", "operator", "type", "collation")}
    for kind, oid in {("type" if kind == "constant" else kind, oid) for each in keys for kind, oid in each}:
        oids[kind].append(oid)
    rows = connection.execute(text(NAMES_OF_OIDS), {f"{kind}s": numbers for kind, numbers in oids.items()})
    names = {row.key: row.name for row in rows}
    return [
        [*_shown(each, names), *sorted({f"column {of[1]} shown as {of[3]}" for of in _shown_falsely(tree)})]
        for each, tree in zip(keys, trees, strict=True)
    ]


def _shown(keys: Sequence[tuple[str, int]], names: Mapping[str, str]) -> list[str]:
    constants = Counter(_name("type", oid, names) for kind, oid in keys if kind == "constant")
    others = (f"{kind} {_name(kind, oid, names)}" for kind, oid in keys if kind != "constant")
    return [*sorted(others), *(f"constant {name} ({number})" for name, number in sorted(constants.items()))]


def _name(kind: str, oid: int, names: Mapping[str, str]) -> str:
    """Return the name. Only the names of PostgreSQL's own objects have no point.

    The attack: a superuser makes a function in `pg_catalog`, which PostgreSQL shows like its own.
    """
    name = names[f"{kind} {oid}"]
    return name if oid < FIRST_UNPINNED or "." in name else f"pg_catalog.{name}"


def _shown_falsely(tree: str) -> Iterator[Sequence[str]]:
    """Yield each column of the expression that its text shows under the name of another one."""
    return (of for of in _COLUMN.findall(tree) if of[:2] != of[2:])


def _oids(tree: str) -> Iterator[tuple[str, int]]:
    yield from (("function", int(oid)) for oid in _FUNCTION.findall(tree))
    yield from (("operator", int(oid)) for oid in _OPERATOR.findall(tree))
    yield from (("operator", int(oid)) for oids in _OPERATORS.findall(tree) for oid in oids.split())
    yield from (("type", int(oid)) for oid in _TYPE.findall(tree) if int(oid) >= FIRST_UNPINNED)
    yield from (("collation", int(oid)) for oid in _COLLATION.findall(tree) if int(oid) >= FIRST_UNPINNED)
    yield from (("constant", int(oid)) for oid in _CONSTANT.findall(tree))
