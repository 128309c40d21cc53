"""Compare the sequence of event numbers with the events and their seals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from authsec_server.audit.event_numbers import FAR, SEQ_IN_FILE, SEQUENCE, UNUSUAL, last_given
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.sealing.scratch import Scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberCheck:
    """The last number of the sequence. No server has got a number above `bound`.

    `findings_before` are about rows of SQLite's sequences. `unchecked` says why the sequence could not be read.
    """

    name: str
    last: int | None
    bound: int
    highest: int = MAX_NUMBER
    findings_before: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """Read the sequence. A sequence has no snapshots, so call this after the first read of the snapshot."""
        return cls._of_postgresql(connection) if connection.dialect.name == "postgresql" else cls._of_file(connection)

    @classmethod
    def _of_postgresql(cls, connection: Connection) -> Self:
        from authsec_server.db.postgresql_errors import NO_RIGHT, sqlstate  # not imported on SQLite

        savepoint = connection.begin_nested()
        try:
            last = last_given(connection)
        except DBAPIError as error:
            if sqlstate(error) != NO_RIGHT:
                raise
            savepoint.rollback()
            role = connection.exec_driver_sql("SELECT current_user").scalar_one()
            why = (
                f"The role {role} has no permission to read the sequence {SEQUENCE}. "
                f"Run as a superuser: GRANT SELECT ON SEQUENCE {SEQUENCE} TO {role}"
            )
            return cls(name=SEQUENCE, last=None, bound=MAX_NUMBER, unchecked=(why,))
        savepoint.commit()
        return cls(name=SEQUENCE, last=last, bound=last, highest=UNUSUAL)

    @classmethod
    def _of_file(cls, connection: Connection) -> Self:
        rows: list[Any] = list(connection.exec_driver_sql(f"{SEQ_IN_FILE} LIMIT 2").scalars())
        last = rows[0] if rows else 0
        if len(rows) > 1 or not isinstance(last, int):
            wrong = "The table sqlite_sequence was changed: its last event number is not one integer."
            return cls(name="sqlite_sequence", last=None, bound=MAX_NUMBER, findings_before=(wrong,))
        return cls(name="sqlite_sequence", last=last, bound=last_given(connection), highest=UNUSUAL)

    def findings(self, scratch: Scratch, through: int) -> Iterator[str]:
        """Yield the findings. `through` is the highest number that the checkpoints cover."""
        yield from self.findings_before
        for number, delegation in scratch.listed_without_event():
            yield (
                f"Event {number} is listed under the delegation {delegation.decode('utf-8', 'backslashreplace')}, "
                "although there is no such event."
            )
        if self.last is None:
            return
        sealed, there = max(through, scratch.highest_sealed()), scratch.highest_event(self.bound)
        if self.last < sealed:
            yield (
                f"The sequence {self.name} was set back to {self.last}, although events up to {sealed} are sealed: "
                "servers would give new events the numbers of sealed events."
            )
            return
        if self.last > max(sealed, there) + FAR or self.last > self.highest:
            yield (
                f"The sequence {self.name} was set to {self.last}, although the highest event is {max(sealed, there)}: "
                "new events would get no more numbers."
            )
        for number in scratch.not_sealed_above(self.bound):
            yield f"Event {number} was inserted: the database has given numbers only up to {self.bound}."
