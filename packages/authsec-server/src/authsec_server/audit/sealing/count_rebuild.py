"""Rebuild the count tables from the events of the months that were not dropped.

The events are read on one snapshot. Then the difference is added to each stored count.
Servers may count during a rebuild, because the roll-up also only adds to stored counts.
Each write changes the number `counted.rebuilds`.
If a rebuild finds that another rebuild changed the number, it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, islice
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, bindparam, case, delete, exists, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError

from authsec_server.audit import service as audit
from authsec_server.audit.count_rows import (
    LAST,
    TABLES,
    CountTable,
    Mark,
    StoredRow,
    Value,
    instant,
    read_mark,
    stored_row,
    stored_rows,
)
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.model import EventKind
from authsec_server.audit.recount import CountDifference, Recount, decided
from authsec_server.audit.rollup import highest_number, later_uses
from authsec_server.audit.sealing.checkpoints import Keys
from authsec_server.audit.sealing.count_check import BEGINNING, sentence
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.store import (
    client_counts,
    counted,
    daily_uses,
    events,
    hourly_counts,
    last_uses,
    sealed_events,
)
from authsec_server.db import Database, Tx
from authsec_server.db.matching import in_batches
from authsec_server.failures import Conflict
from authsec_server.principal import Act, Role

PIECE: Final = 1000  # rows of one transaction; on SQLite, token requests wait for its end
EXAMPLES: Final = 20
_NUMBERS: Final = 2**31  # `counted.rebuilds` stays below this number, and then begins again
_STORED: Final[Mapping[str, Table]] = {
    table.name: table for table in (hourly_counts, client_counts, daily_uses, last_uses)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The result of a rebuild: for each table, the number of `rows` that differ, with `examples`.

    `mark` is true if the progress mark of the roll-up is replaced.
    Rows of months before `dropped_before` stay unchanged. If no month was dropped, `dropped_before` is empty.
    """

    rows: Mapping[str, int]
    mark: bool
    dropped_before: str
    examples: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether the rebuild changes anything."""
        return self.mark or any(self.rows.values())


class _Interfered(Exception):
    """A concurrent rebuild wrote to the tables, or a row to delete has changed."""


def foresee_rebuild(database: Database, act: Act, keys: Keys) -> Rebuilt:
    """Dry run of `rebuild_counts`: return the changes without writing. Raises the same errors."""
    act.principal.require(Role.ADMIN)
    with _plan(database, act, keys) as plan:
        return plan.rebuilt


def rebuild_counts(database: Database, act: Act, keys: Keys) -> Rebuilt:
    """Correct the counts so that they match the events, and record the rebuild. Blocks its thread until the end.

    Raises `Conflict` if the events do not match their seals, because such events must not be counted.
    Raises `Conflict` also if another rebuild writes at the same time.
    """
    act.principal.require(Role.ADMIN)
    first: Rebuilt | None = None
    while True:
        with _plan(database, act, keys) as plan:
            first = first or plan.rebuilt
            if not plan.rebuilt.changes:
                return first
            try:
                plan.carry_out(database, act)
            except (_Interfered, IntegrityError):
                raise Conflict(
                    "Another rebuild of the counts is running.",
                    "Run the command again after the other rebuild has ended.",
                ) from None
            if not plan.more and not plan.is_overtaken(database):
                return first


class _Plan:
    """The corrections that one snapshot requires, stored in a scratch file."""

    def __init__(self, recount: Recount, mark: Mark, wanted: Mark, dropped_before: str) -> None:
        self._recount = recount
        self._mark = mark
        self._wanted = wanted
        odd = {name: len(rows) + recount.more_odd[name] for name, rows in recount.odd.items()}
        differing = {table.name: sum(1 for _ in recount.differences(table)) for table in TABLES}
        self.more = any(recount.more_odd.values())  # this plan leaves some rows out; the next plan finds them
        self.rebuilt = Rebuilt(
            rows={name: odd[name] + differing[name] for name in odd},
            mark=mark != wanted,
            dropped_before=dropped_before,
            examples=tuple(islice(self._examples(), EXAMPLES)),
        )

    def __enter__(self) -> _Plan:
        return self

    def __exit__(self, *_: object) -> None:
        self._recount.__exit__()

    def carry_out(self, database: Database, act: Act) -> None:
        """Write the corrections in several transactions. Raises `_Interfered` if another rebuild writes as well."""
        rebuilds = database.append(partial(self._begin, act=act))
        for piece in self._pieces():
            database.append(partial(_write, piece=piece, rebuilds=rebuilds))
            rebuilds = _next(rebuilds)

    def is_overtaken(self, database: Database) -> bool:
        """Whether a server counted events while this plan corrected last uses. Then another plan is needed.

        The roll-up keeps the later of two last uses.
        If the stored time is wrong and too late, the roll-up ignores a new use, and so does this correction.
        The next plan finds the difference.
        """
        now = database.read(lambda tx: read_mark(tx.connection))
        return self.rebuilt.rows[LAST.name] > 0 and now.through != self._wanted.through

    def _begin(self, tx: Tx, act: Act) -> int:
        """Record the rebuild as an event, and replace a wrong progress mark. Return the new `counted.rebuilds`.

        Raises `_Interfered` if another rebuild wrote first.
        """
        if read_mark(tx.connection).rebuilds != self._mark.rebuilds:
            raise _Interfered
        if self.rebuilt.mark:
            if read_mark(tx.connection) != self._mark:
                raise _Interfered
            tx.connection.execute(delete(counted))
            mark = {"until": self._wanted.until, "through": self._wanted.through}
            tx.connection.execute(insert(counted).values(id=1, rebuilds=_next(self._mark.rebuilds), **mark))
        else:
            _change_rebuilds(tx.connection, self._mark.rebuilds)
        detail = {"rows": dict(self.rebuilt.rows), "mark": self.rebuilt.mark}
        audit.record_act(tx, act, EventKind.COUNTS_REBUILT, detail=detail)
        return _next(self._mark.rebuilds)

    def _pieces(self) -> Iterator[Callable[[Connection], None]]:
        for table in TABLES:
            for rows in in_batches(self._recount.odd[table.name], PIECE):
                yield partial(_delete_odd, table=table, rows=rows)
        for table in TABLES:
            correct = _correct_uses if table is LAST else _correct_numbers
            for some in in_batches(self._recount.differences(table), PIECE):
                yield partial(correct, table=table, differences=some)

    def _examples(self) -> Iterator[str]:
        for table in TABLES:
            yield from map(sentence, self._recount.differences(table))


def _plan(database: Database, act: Act, keys: Keys) -> _Plan:
    highest = highest_number(database)
    return database.read(partial(_planned, act=act, keys=keys, highest=highest))


def _planned(tx: Tx, act: Act, keys: Keys, highest: int | None) -> _Plan:
    report = verify(tx, keys, now=act.now, counts=False, readers=False)  # proves the rows that are counted here
    report.require_checked()
    if report.findings:
        raise Conflict(
            f"The audit log was changed after it was sealed, so its events cannot be counted. {report.findings[0]}",
            "To see the findings: authsec audit verify",
        )
    if report.unproved:
        raise Conflict(
            f"The audit log is not sealed to its end, so its events cannot be counted. {report.unproved[0]}",
            "Start a server, wait some seconds until the server has sealed the log, and try again.",
        )
    dropped = max((each.record for each in report.dropped if each.sealed), key=lambda its: its.before, default=None)
    mark = read_mark(tx.connection)
    until = dropped.cut if dropped else BEGINNING
    wanted = mark if _is_right(tx, mark, until, act.now) else _new_mark(tx, mark, highest, until)
    with ExitStack() as opening:
        recount = opening.enter_context(Recount(wanted.through, wanted.until or BEGINNING))
        for number, outcome in decided(tx.connection):
            recount.add(number, outcome)
        recount.compare(partial(stored_rows, tx.connection), dropped.cut if dropped else None)
        for difference in chain.from_iterable(map(recount.differences, TABLES)):
            if difference.rows > 1:
                raise Conflict(sentence(difference), "The table's key is broken: restore a backup of the database.")
        plan = _Plan(recount, mark, wanted, dropped.before if dropped else "")
        opening.pop_all()  # the plan closes `recount`
        return plan


def _is_right(tx: Tx, mark: Mark, earliest: datetime, now: datetime) -> bool:
    """Whether the mark can be one of the roll-up. A drop closes its months, so no later mark is before `earliest`."""
    highest = select(func.max(events.c.id)).where(events.c.id <= MAX_NUMBER)
    last = tx.connection.execute(highest).scalar_one() or 0
    return mark.until is not None and earliest <= mark.until <= now and mark.through <= last


def _new_mark(tx: Tx, mark: Mark, highest: int | None, until: datetime) -> Mark:
    """Return a new progress mark, with the highest possible `through`.

    Up to the event number `through`, no further event can appear, and no refusal can get further occurrences.
    Raises `Conflict` if a transaction that writes events lasts too long.
    """
    if highest is None:
        raise Conflict(
            "A transaction that writes events is taking too long.",
            "Run the command again after the other transaction has ended.",
        )
    grows = events.c.count_key.is_not(None), ~exists().where(sealed_events.c.event_id == events.c.id)
    first = select(func.min(events.c.id)).where(events.c.id > 0, events.c.id <= highest, *grows)
    growing = tx.connection.execute(first).scalar_one()
    return Mark(until=until, through=highest if growing is None else growing - 1, rebuilds=mark.rebuilds)


def _write(tx: Tx, piece: Callable[[Connection], None], rebuilds: int) -> None:
    _change_rebuilds(tx.connection, rebuilds)
    piece(tx.connection)


def _next(rebuilds: int) -> int:
    """Return the next value of `counted.rebuilds`. It is in range even if raw SQL stored a huge number."""
    return (rebuilds + 1) % _NUMBERS


def _change_rebuilds(connection: Connection, seen: int) -> None:
    changed = update(counted).where(counted.c.rebuilds == seen).values(rebuilds=_next(seen))
    if connection.execute(changed).rowcount != 1:
        raise _Interfered


def _delete_odd(connection: Connection, table: CountTable, rows: Sequence[StoredRow]) -> None:
    handle = "ctid = CAST(:handle AS tid)" if connection.dialect.name == "postgresql" else "rowid = :handle"
    statement = text(f"DELETE FROM {table.name} WHERE {handle}")  # noqa: S608 - names from the code
    for row in rows:
        if stored_row(connection, table, row.handle) != row:
            raise _Interfered
        if connection.execute(statement, {"handle": row.handle}).rowcount != 1:
            raise _Interfered


def _correct_numbers(connection: Connection, table: CountTable, differences: Sequence[CountDifference]) -> None:
    """Add the differences to the stored counts. Counts that a roll-up adds in the meantime are kept."""
    its, (name,) = _STORED[table.name], table.values
    statement = _insert(connection, its)
    added = its.c[name] + statement.excluded[name]
    rows = [_typed_key(each) | {name: _number(each.say) - _number(each.kept)} for each in differences]
    connection.execute(statement.on_conflict_do_update(index_elements=list(table.key), set_={name: added}), rows)
    _delete(connection, its, table, [each for each in differences if each.say is None], its.c[name] == 0)


def _correct_uses(connection: Connection, table: CountTable, differences: Sequence[CountDifference]) -> None:
    """Set each last use to the time in the events. Keep a later time that a roll-up has stored in the meantime."""
    statement = _insert(connection, last_uses)
    new = [_typed_key(each) | _typed_uses(each.say) for each in differences if each.kept is None]
    if new:
        later = later_uses(statement.excluded, connection.dialect.name)
        connection.execute(statement.on_conflict_do_update(index_elements=list(table.key), set_=later), new)
    there = [each for each in differences if each.kept is not None]
    if there:
        rows = [
            _prefixed("key", _typed_key(each))
            | _prefixed("was", _typed_uses(each.kept))
            | _prefixed("say", _typed_uses(each.say))
            for each in there
        ]
        connection.execute(_uses_update(connection.dialect.name), rows)
    empty = and_(last_uses.c.granted_at.is_(None), last_uses.c.refused_at.is_(None))
    _delete(connection, last_uses, table, [each for each in there if each.say is None], empty)


def _uses_update(dialect: str) -> Any:
    its = last_uses.c
    say = {name: bindparam(f"say_{name}", type_=its[name].type) for name in LAST.values}
    same = {
        name: its[name].is_not_distinct_from(bindparam(f"was_{name}", type_=its[name].type)) for name in LAST.values
    }
    refused = and_(same["refused_at"], same["refused_reason"])
    later = later_uses(SimpleNamespace(**say), dialect)
    return (
        update(last_uses)
        .where(*(its[name] == bindparam(f"key_{name}", type_=its[name].type) for name in LAST.key))
        .values(
            granted_at=case((same["granted_at"], say["granted_at"]), else_=later["granted_at"]),
            refused_at=case((refused, say["refused_at"]), else_=later["refused_at"]),
            refused_reason=case((refused, say["refused_reason"]), else_=later["refused_reason"]),
        )
    )


def _delete(
    connection: Connection, its: Table, table: CountTable, differences: Sequence[CountDifference], empty: Any
) -> None:
    """Delete the rows of these differences that are empty (condition `empty`) after the correction."""
    if not differences:
        return
    keys = (its.c[name] == bindparam(f"key_{name}", type_=its.c[name].type) for name in table.key)
    rows = [_prefixed("key", _typed_key(each)) for each in differences]
    connection.execute(delete(its).where(*keys, empty), rows)


def _typed_key(difference: CountDifference) -> dict[str, Any]:
    at, *rest = difference.key
    return dict(zip(difference.table.key, [instant(at), *rest], strict=True))


def _typed_uses(values: Sequence[Value] | None) -> dict[str, Any]:
    granted_at, refused_at, reason = values or (None, None, None)
    times = {
        name: None if value is None else instant(str(value))
        for name, value in (("granted_at", granted_at), ("refused_at", refused_at))
    }
    return {**times, "refused_reason": reason}


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}_{name}": value for name, value in values.items()}


def _number(values: Sequence[Value] | None) -> int:
    return 0 if values is None else int(values[0] or 0)


def _insert(connection: Connection, table: Table) -> Any:
    return (postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert)(table)
