"""The rows that a change of authority writes: their digests before and after (`table_digests`)."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    Connection,
    Delete,
    Insert,
    Table,
    Update,
    and_,
    event,
    inspect,
    or_,
)
from sqlalchemy.sql.operators import in_op

from authsec_server.db.matching import in_batches
from authsec_server.db.schema import metadata
from authsec_server.db.table_digests import (
    DIGESTED,
    EMPTY,
    PRIME,
    Digests,
    digest,
    element,
    element_of_group,
    is_column_name,
    later_columns_of_digests,
    multiplied,
    product_of_rows,
    row_hash,
    stored,
    stored_products,
    write_products,
)
from authsec_server.failures import Unavailable

_LATER: Final = "SELECT substr(later_columns, 1, 20000) FROM authority"  # raw SQL can store a longer text


class TableChanges:
    """The rows of digested tables that one change writes, by their groups.

    `watching` starts the record, and `settle` ends it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._before: dict[str, dict[tuple[Any, ...], int | None]] = {}
        self._after: dict[str, dict[tuple[Any, ...], int]] = {}  # the same groups when their digests were computed
        self._tell: Callable[[Digests], None] | None = None
        self._clients: set[str] = set()
        self._delegations: set[str] = set()  # of the written audiences
        self._is_shared = False  # whether a written row concerns every client
        self._newer: Mapping[str, Mapping[str, Any]] | None = None  # `_newer_columns`, once a row was read

    @classmethod
    @contextmanager
    def watching(cls, connection: Connection) -> Iterator[TableChanges]:
        """Observe each statement on the connection within this context."""
        changes = cls(connection)
        event.listen(connection, "before_execute", changes._see)
        try:
            yield changes
        finally:
            event.remove(connection, "before_execute", changes._see)

    def tell_by(self, tell: Callable[[Digests], None]) -> None:
        """Call `tell` with the digests at the end of this change. An earlier function is called now, with none."""
        if self._tell is not None:
            self._tell({})
        self._tell = tell

    def settle(self) -> None:
        """Save the products of the changed tables, and pass their digests to the last function from `tell_by`.

        Without a changed table, there are no digests.
        Raises `RuntimeError` if rows were changed but no event records the change. This is a programming error.
        """
        factors = {}
        for name, before in self._before.items():
            self._after[name] = now = self._elements(name, before)
            changed = [key for key, its in before.items() if its != now.get(key)]
            if changed:
                removed = (its for key in changed if (its := before[key]) is not None)
                added = (now[key] for key in changed if key in now)
                factors[name] = multiplied(pow(multiplied(EMPTY, removed), -1, PRIME), added)
        if factors and self._tell is None:
            raise RuntimeError(f"no event says what was changed in {', '.join(sorted(factors))}")
        if self._tell is not None:
            self._tell(self._written(factors) if factors else {})

    @property
    def clients(self) -> Set[str] | None:
        """The ids of the clients that the written rows belong to. None if a row may concern other clients."""
        written = {str(id_) for (id_,) in self._before.get("delegations", ())}
        return None if self._is_shared or not self._delegations <= written else self._clients

    def written_again(self) -> str:
        """Return the name of a table with a row that has changed since `settle`, or an empty text.

        The attack: foreign code that the database runs in a later statement undoes a part of the change.
        """
        settled = self._after.items()
        return next((name for name, after in settled if self._elements(name, self._before[name]) != after), "")

    def _elements(self, name: str, groups: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], int]:
        """Compute the number of each of these groups that has rows."""
        if not DIGESTED[name].is_grouped:
            return {group: element(name, row) for group, row in self._grouped(name, groups)}
        hashes: dict[tuple[Any, ...], list[bytes]] = {}
        for group, row in self._grouped(name, groups):
            hashes.setdefault(group, []).append(row_hash(name, row))
        return {group: element_of_group(sorted(each)) for group, each in hashes.items()}

    def _written(self, factors: Mapping[str, int]) -> Digests:
        """Save the new product of each changed table's rows, and return the digests before and after the change.

        Tables without a stored product are also in the result.
        """
        kept = dict(stored_products(self._connection))
        after = {name: kept[name] * factor % PRIME for name, factor in factors.items() if name in kept}
        for name in DIGESTED.keys() - kept.keys():
            after[name] = product_of_rows(name, self._rows(name, None))
            kept[name] = after[name] * pow(factors.get(name, 1), -1, PRIME) % PRIME
        write_products(self._connection, after)
        return {name: (digest(kept[name]), digest(product)) for name, product in after.items()}

    def _see(self, _connection: Connection, statement: Any, many: Any, one: Any, _options: Any) -> None:
        if not isinstance(statement, Insert | Update | Delete) or not isinstance(statement.table, Table):
            return
        name = statement.table.name
        its = DIGESTED.get(name)
        if its is None:
            return
        if isinstance(statement, Insert):
            fixed = statement.compile(dialect=self._connection.dialect).params
            written: Iterable[Mapping[str, Any]] = [fixed | dict(values) for values in many or [one]]
            self._see_groups(name, written, is_new=True)
            return
        rows = [*self._rows(name, statement.whereclause, locked=True)]
        if self._lacks_a_row(name, statement.whereclause, len(rows)):
            raise Unavailable(
                f"This change has just read a row of the table {name}, and now the row is missing.",
                "Somebody else writes to the database. To see the findings: authsec audit verify",
            )
        self._see_groups(name, rows)
        if isinstance(statement, Delete):
            self._see_children(name, rows)

    def _see_groups(self, name: str, rows: Iterable[Mapping[str, Any]], *, is_new: bool = False) -> None:
        """Note the groups of these rows as they are before the change writes to them. `is_new` rows are not there yet.

        The other rows of a group are read, too. The lock of the table keeps these rows as they are until the commit.
        """
        its = DIGESTED[name]
        rows = [*rows]
        self._see_clients(name, rows)
        if its.is_grouped:
            self._see_together(name, {tuple(row[each] for each in its.group) for row in rows})
            return
        for row in rows:
            group = tuple(row[each] for each in its.group)
            self._first_seen(name, group, None if is_new else element(name, row))

    def _see_clients(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note the clients that these rows belong to."""
        column = DIGESTED[name].client
        if column is not None:
            self._clients.update(str(row[column]) for row in rows)
        elif name == "delegation_audiences":
            self._delegations.update(str(row["delegation_id"]) for row in rows)
        else:
            self._is_shared = True

    def _see_together(self, name: str, groups: Set[tuple[Any, ...]]) -> None:
        """Note these groups, whose rows have one number together."""
        unseen = groups - self._before.get(name, {}).keys()
        elements = self._elements(name, unseen)
        for group in unseen:
            self._first_seen(name, group, elements.get(group))

    def _lacks_a_row(self, name: str, condition: Any, found: int) -> bool:
        """Whether the condition names a row by its key, but the row is missing. The condition matched `found` rows.

        A change writes by key only rows that it has read before. The attack: raw SQL deletes the row meanwhile, and
        inserts it again later.
        """
        parts = [each for each in _conditions(condition) if (getattr(each.left, "name", ""),) == DIGESTED[name].key]
        if len(parts) != 1:
            return False
        its = parts[0]
        if its.operator is operator.eq:
            return not found and (its is condition or not any(self._rows(name, its)))
        is_listed = its is condition and its.operator is in_op and isinstance(its.right, BindParameter)
        return is_listed and found < len(set(its.right.value))

    def _see_children(self, parent: str, rows: Collection[Mapping[str, Any]]) -> None:
        """Note the rows that the database deletes together with these rows of the parent table."""
        for name, its in DIGESTED.items():
            if its.parent and its.parent[0] == parent:
                for some in in_batches(row["id"] for row in rows):
                    condition = metadata.tables[name].c[its.parent[1]].in_(some)
                    self._see_groups(name, self._rows(name, condition, locked=True))

    def _first_seen(self, name: str, group: tuple[Any, ...], number: int | None) -> None:
        self._before.setdefault(name, {}).setdefault(group, number)

    def _grouped(
        self, name: str, groups: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
        """Yield each row of these groups with its group."""
        columns = [metadata.tables[name].c[each] for each in DIGESTED[name].group]
        for some in in_batches(groups, 100):
            if not columns:
                condition: Any = None
            elif len(columns) == 1:
                condition = columns[0].in_([group[0] for group in some])
            else:
                condition = or_(
                    *(and_(*(each == part for each, part in zip(columns, group, strict=True))) for group in some)
                )
            for row in self._rows(name, condition):
                yield tuple(row[each.name] for each in columns), row

    def _rows(self, name: str, condition: Any, *, locked: bool = False) -> Iterator[Mapping[str, Any]]:
        """Read the rows that meet the condition. `locked` locks rows that the change is about to write.

        Without the lock, on PostgreSQL, raw SQL could write to a row between this read and the statement. The change
        would then record that write as its own.
        """
        newer = self._newer_columns(name)
        columns = dict.fromkeys((*_columns(self._connection, name), *newer))
        names = [each for each in columns if each not in DIGESTED[name].without]
        statement = stored(self._connection.dialect.name, name, names, source=metadata.tables.get(name))
        if condition is not None:
            statement = statement.where(condition)
        for row in self._connection.execute(statement.with_for_update() if locked else statement):
            its = dict(zip(names, row, strict=True))
            yield {each: value for each, value in its.items() if each not in newer or newer[each] != value}

    def _newer_columns(self, name: str) -> Mapping[str, Any]:
        """Return the columns of this table that only a newer release has, each with its value in older rows.

        The digests of the newer release have these columns, except where a row has this value.
        """
        if self._newer is None:
            self._newer = newer_columns(self._connection)
        return self._newer.get(name, {})


def _conditions(condition: Any) -> Iterator[BinaryExpression[Any]]:
    """Yield the parts of a condition that joins several conditions with AND; otherwise the condition itself."""
    parts = (
        condition.clauses
        if isinstance(condition, BooleanClauseList) and condition.operator is operator.and_
        else [condition]
    )
    yield from (each for each in parts if isinstance(each, BinaryExpression))


def newer_columns(connection: Connection) -> Mapping[str, Mapping[str, Any]]:
    """Read the columns of digests that a newer release added to the tables, each with its value in older rows.

    Columns that the table lacks are left out. The attack: raw SQL stores another text, so that every change fails.
    """
    try:
        stored_later = json.loads(connection.exec_driver_sql(_LATER).scalar_one())
        named = {name: dict(stored_later[name]) for name in DIGESTED if name in stored_later}
    except (ValueError, TypeError, RecursionError):  # then `verify` finds the digests of changes
        return {}
    ours = later_columns_of_digests()
    newer = {name: {each: its[each] for each in its if each not in ours.get(name, {})} for name, its in named.items()}
    return {name: _present(connection, name, its) for name, its in newer.items() if its}


def _present(connection: Connection, name: str, columns: Mapping[str, Any]) -> Mapping[str, Any]:
    present = {each["name"] for each in inspect(connection).get_columns(name) if is_column_name(each["name"])}
    known = {each.name for each in metadata.tables[name].columns} if name in metadata.tables else set()
    return {each: value for each, value in columns.items() if each in present - known}


def _columns(connection: Connection, name: str) -> list[str]:
    """Return the columns of this table, even if this process did not import the table's package."""
    if name in metadata.tables:
        return [each.name for each in metadata.tables[name].columns]
    return [each["name"] for each in inspect(connection).get_columns(name)]
