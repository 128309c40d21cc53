"""Check that each B-tree index of PostgreSQL leads to each row of its table once, under that row's key.

The attack: a superuser keeps an index entry after its row was deleted. A new row then gets the position of
the deleted row. A search by the old key finds the new row. The extension `amcheck` does not detect such
entries, and a superuser can drop the extension.

The check reads each whole index twice: once with the rows, and once with the stored keys. Both reads must be
in the order of the index. The number and hashes of the entries must be the same as in a read of the table
alone. If all this is true, each entry has the key of its row. The inner pages of an index, which lead to the
first entry, are checked only by `verify --deep`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from authsec_server.db.postgresql_catalog import Skipped, as_created, careful
from authsec_server.db.postgresql_errors import NO_RIGHT, NOT_NOW, reason_of, sqlstate
from authsec_server.db.postgresql_queries import BTREES_OF_SCHEMA
from authsec_server.db.quoting import run_as_written

_DESCENDING, _NULLS_FIRST = 1, 2  # bits of pg_index.indoption
OF_ROWS, OF_KEYS = "Index Scan", "Index Only Scan"
_ORDERED: Final = frozenset({OF_ROWS, OF_KEYS, "WindowAgg", "Subquery Scan", "Aggregate", "Append", "Result"})
# With these settings, PostgreSQL can only scan an index in its order. If two indexes have one order, PostgreSQL
# takes a partial index, because that saves the cost of a filter. So forged statistics cannot lead to another index.
WALKING: Final = {
    "enable_seqscan": "off",
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "enable_tidscan": "off",
    "enable_sort": "off",
    "enable_incremental_sort": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "seq_page_cost": "0",
    "random_page_cost": "0",
    "cpu_tuple_cost": "0",
    "cpu_index_tuple_cost": "0",
    "cpu_operator_cost": "1000000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """A B-tree index. `keys` are the columns as SQL, and `options` the bits of `pg_index.indoption`."""

    name: str
    table: str
    qualified: str  # the table with its schema, as SQL
    keys: Sequence[str]
    options: Sequence[int]
    condition: str
    is_unique: bool

    @property
    def where(self) -> str:
        return f" WHERE {self.condition}" if self.condition else ""

    @property
    def order(self) -> str:
        """Return the sort order of the index as SQL."""
        return ", ".join(
            f"{key} {'DESC' if option & _DESCENDING else 'ASC'} NULLS {'FIRST' if option & _NULLS_FIRST else 'LAST'}"
            for key, option in zip(self.keys, self.options, strict=True)
        )


@dataclass(frozen=True, slots=True)
class _Digest:
    """The number of entries, and a sum of seeded hashes of their row positions or keys. The order is irrelevant."""

    number: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """The damage found in indexes; `skipped` are the tables with an index that could not be read."""

    findings: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def walk_indexes(connection: Connection, schema: int, conditions: Iterable[str]) -> Walked:
    """Compare each B-tree index of the schema with its table. PostgreSQL only.

    `conditions` are the conditions of AuthSec's partial indexes. An index with another condition is left out,
    because its condition could call any function. The comparison of the schema reports such an index. Raises the
    driver's errors when the database is unreachable.
    """
    known, seed = {"", *conditions}, secrets.randbits(62)  # nobody can choose rows whose hashes have the same sum
    rows = connection.execute(text(BTREES_OF_SCHEMA), {"schema": schema}).all()
    indexes = [index for index in map(_index, rows) if as_created(index.condition) in known]
    findings, skipped = list[str](), list[Skipped]()
    for _, each in groupby(indexes, key=lambda index: index.qualified):
        group = list(each)
        savepoint = connection.begin_nested()
        try:
            expected = _of_table(connection, group, seed)
            with careful(connection, **WALKING):
                walked = _walked(connection, group, seed)
        except DBAPIError as error:
            savepoint.rollback()
            state, reason = sqlstate(error), reason_of(error)
            if error.connection_invalidated or state[:2] in {"", "08", "53", "57", "58"}:
                raise
            if state == NO_RIGHT or state in NOT_NOW:
                skipped.append(Skipped(group[0].table, reason))
            else:
                findings.append(f"The table {group[0].table} or an index of it is damaged: {reason}.")
            continue
        savepoint.commit()
        for place, index in enumerate(group):
            if walked is None or place not in walked:
                skipped.append(Skipped(index.table, f"PostgreSQL does not use the index {index.name}"))
            else:
                findings += _differences(index, expected[place], walked[place])
    return Walked(findings=tuple(findings), skipped=tuple(skipped))


def _index(row: Any) -> _Index:
    return _Index(
        name=row.name,
        table=row.table_name,
        qualified=row.qualified,
        keys=tuple(row.keys),
        options=tuple(row.options),
        condition=row.condition or "",
        is_unique=row.is_unique,
    )


@dataclass(frozen=True, slots=True)
class _Walk:
    """The digests of two full reads of an index, and whether each read was in order.

    `repeats` says whether two entries, one after the other, have the same key.
    """

    rows: _Digest
    keys: _Digest
    rows_in_order: bool
    keys_in_order: bool
    repeats: bool


def _differences(index: _Index, expected: tuple[_Digest, _Digest], walk: _Walk) -> Iterator[str]:
    rows, keys = expected
    what = f"The index {index.name} is damaged:"
    if walk.rows.number < rows.number:
        yield f"{what} it leads to {walk.rows.number:,} of the {rows.number:,} rows of its table."
    elif walk.rows != rows:
        yield f"{what} an entry leads to a wrong row, or to no row."
    elif not walk.rows_in_order:
        yield f"{what} an entry leads to a row with another key."
    elif walk.keys != keys or not walk.keys_in_order:
        yield f"{what} its keys differ from the keys of the table."
    elif index.is_unique and walk.repeats:
        yield f"{what} several rows of its table have the same key."


def _of_table(connection: Connection, indexes: Sequence[_Index], seed: int) -> list[tuple[_Digest, _Digest]]:
    """Read the table without an index, and compute the digests of rows and keys that each index must have."""
    columns = []
    for index in indexes:
        only = f" FILTER (WHERE {index.condition})" if index.condition else ""
        columns += [f"count(*){only}", *(f"coalesce(sum({each}){only}, 0)" for each in _hashes(index, seed))]
    statement = f"SELECT {', '.join(columns)} FROM ONLY {indexes[0].qualified}"  # noqa: S608 - of the catalog
    (row,) = _rows(connection, statement)
    return [
        (_Digest(row[at], int(row[at + 1])), _Digest(row[at], int(row[at + 2]))) for at in range(0, len(columns), 3)
    ]


def _walked(connection: Connection, indexes: Sequence[_Index], seed: int) -> Mapping[int, _Walk] | None:
    """Read each index, and return the results by the index's position in `indexes`.

    The result leaves out an index if PostgreSQL's plan does not read the index as required. If this is true of
    every index, the result is None.
    """
    ways = [(index, way) for index in indexes for way in (OF_ROWS, OF_KEYS)]
    statement = " UNION ALL ".join(
        _walk_along(index, hashed, number)
        for number, (index, hashed) in enumerate((index, each) for index in indexes for each in _hashes(index, seed))
    )
    ((plan,),) = _rows(connection, f"EXPLAIN (FORMAT JSON, COSTS OFF) {statement}")
    branches = plan[0]["Plan"]["Plans"]
    followed = [follows(branch, index.name, way) for branch, (index, way) in zip(branches, ways, strict=True)]
    if not any(followed):
        return None
    found = {row[0]: (_Digest(row[1], int(row[2])), row[3], row[4]) for row in _rows(connection, statement)}
    walks = {}
    for place in range(len(indexes)):
        of_rows, of_keys = 2 * place, 2 * place + 1
        if followed[of_rows] and followed[of_keys]:
            (rows, rows_in_order, _), (keys, keys_in_order, repeats) = found[of_rows], found[of_keys]
            walks[place] = _Walk(rows, keys, rows_in_order, keys_in_order, repeats)
    return walks


def _hashes(index: _Index, seed: int) -> tuple[str, str]:
    """Return two hash expressions: of a row's position (`ctid`), and of the index key.

    For the first expression, PostgreSQL must read the row. For the second expression, it needs only the index.
    """
    return f"hashtidextended(ctid, {seed})", f"hash_record_extended(ROW({', '.join(index.keys)}), {seed})"


def _walk_along(index: _Index, hashed: str, number: int) -> str:
    """Return a query that reads all entries in index order and compares each entry with the previous one."""
    columns = [f"{key} AS k{at}, lag({key}) OVER way AS b{at}" for at, key in enumerate(index.keys)]
    repeats = " AND ".join(f"k{at} = b{at}" for at in range(len(index.keys)))
    return (
        f"(SELECT {number} AS number, count(*) AS entries, coalesce(sum(hash), 0) AS total,"  # noqa: S608 - see above
        f" NOT coalesce(bool_or(follows AND ({_before(index.options)})), false) AS in_order,"
        f" coalesce(bool_or(follows AND {repeats}), false) AS repeats"
        f" FROM (SELECT {hashed} AS hash, lag(true) OVER way AS follows, {', '.join(columns)}"
        f" FROM ONLY {index.qualified}{index.where} WINDOW way AS (ORDER BY {index.order})) AS walk)"
    )


def _before(options: Sequence[int], at: int = 0) -> str:
    """Return the SQL condition that the current entry (columns k…) belongs before the previous entry (columns b…)."""
    key, last = f"k{at}", f"b{at}"
    if options[at] & _NULLS_FIRST:
        nulls = f"({key} IS NULL AND {last} IS NOT NULL)"
    else:
        nulls = f"({key} IS NOT NULL AND {last} IS NULL)"
    before = f"{nulls} OR {key} {'>' if options[at] & _DESCENDING else '<'} {last}"
    if at + 1 == len(options):
        return before
    return f"{before} OR ({key} IS NOT DISTINCT FROM {last} AND ({_before(options, at + 1)}))"


def follows(plan: Mapping[str, Any], index: str, way: str) -> bool:
    """Whether the plan reads this whole index with the scan type `way`, without a sort and without a filter."""
    nodes = list(_nodes(plan))
    scans = [(node["Node Type"], node["Index Name"]) for node in nodes if "Index Name" in node]
    return (
        scans == [(way, index)]
        and all(node["Node Type"] in _ORDERED for node in nodes)
        and not any("Filter" in node or "Index Cond" in node for node in nodes)
    )


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)


def _rows(connection: Connection, statement: str) -> list[Any]:
    return list(run_as_written(connection, statement))
