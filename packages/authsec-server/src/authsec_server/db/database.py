"""Units of work, on SQLite and PostgreSQL alike.

Five verbs, and which one a caller picks says what it may rely on:

`read`    one consistent snapshot, nothing written;
`check`   the same, of a database whose tables may be missing: its authority version is not read, and is 0;
`append`  a write that changes nobody's authority (a count, a last use);
`record`  the journal's write: holds the authority lock *shared*, so the authority version it reads stays true until
          the commit;
`change`  a change of authority: holds the lock *exclusively* before its first read and raises the version.

`rehearse` is a `change` that is undone before it returns: for whoever asks what it would bring about.

So no token is journalled after a change that covers it, and no change is missed by a token in flight.
`work` gets an open `Tx` and may run only once more or not at all: it must have no effect beyond the transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from sqlalchemy import Connection, select, update

from authsec_server.db.schema import authority
from authsec_server.db.table_digests import TableChanges

T = TypeVar("T")


class Access(Enum):
    """The five kinds of transaction, as the module's docstring defines them."""

    READ = "read"
    CHECK = "check"
    APPEND = "append"
    RECORD = "record"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class Tx:
    """An open transaction: the connection for the stores' statements, and the authority version it stands on.

    `version` is what was read at the start; in a `change` it is the new version, which the change brings about.
    `changes` is what a `change` writes to tables with a digest, else None.
    """

    connection: Connection
    access: Access
    version: int
    changes: TableChanges | None = None


Work = Callable[[Tx], T]
READING = frozenset({Access.READ, Access.CHECK})
_REHEARSING: ContextVar[bool] = ContextVar("rehearsing", default=False)


class _Undone(Exception):
    """Carries a result out of the transaction that it undoes."""

    def __init__(self, result: Any) -> None:
        super().__init__("undone")
        self.result = result


@contextmanager
def rehearsing() -> Iterator[None]:
    """While this is open, nothing that runs in it can `record` or `change`: who asks for a rehearsal gets no more."""
    token = _REHEARSING.set(True)
    try:
        yield
    finally:
        _REHEARSING.reset(token)


class Database(ABC):
    """An open database. Every method blocks its thread, for a bounded time.

    Every method raises `Unavailable` when nothing was committed, and `OutcomeUnknown` when the commit got no answer.
    `damaged` says what is wrong with the database file. It stays until the process is started again; until then every
    method raises `Unavailable`.
    """

    dialect: str
    damaged: str | None = None
    lacks_wal = False  # a SQLite file that was copied without its -wal file: its last transactions are missing
    _tell: tuple[Callable[[], None], ...] = ()

    def read(self, work: Work[T]) -> T:
        """Run `work` on one consistent snapshot."""
        return self._run(Access.READ, work)

    def check(self, work: Work[T]) -> T:
        """Run `work` on one consistent snapshot, whatever tables the database has. The version in its `Tx` is 0."""
        return self._run(Access.CHECK, work)

    def append(self, work: Work[T]) -> T:
        """Run `work` and commit, under no lock."""
        return self._run(Access.APPEND, work)

    def record(self, work: Work[T]) -> T:
        """Run `work` and commit, under the shared authority lock."""
        _refuse_while_rehearsing()
        return self._run(Access.RECORD, work)

    def change(self, work: Work[T]) -> T:
        """Run `work` and commit, under the exclusive authority lock, at a new authority version."""
        _refuse_while_rehearsing()

        def digested(tx: Tx) -> T:
            with TableChanges.watching(tx.connection) as changes:
                result = work(replace(tx, changes=changes))
                changes.settle()
                return result

        result = self._run(Access.CHANGE, digested)
        for tell in self._tell:
            tell()
        return result

    def rehearse(self, work: Work[T]) -> T:
        """Run `work` as `change` does, and undo all of it. Nobody is told; the version stays what it was."""

        def undone(tx: Tx) -> None:
            raise _Undone(work(tx))

        try:
            self._run(Access.CHANGE, undone)
        except _Undone as over:
            result: T = over.result
            return result
        raise RuntimeError("a rehearsal was not undone")

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """While this is open, `tell` is called in any thread after each change, where it can be known of others' too.

        A hint and no more: it may come for nothing, and may be missing.
        """
        self._tell = (*self._tell, tell)
        try:
            yield
        finally:
            self._tell = tuple(each for each in self._tell if each is not tell)

    def has_stopped(self) -> bool:
        """Whether a thread that every write needs has ended: only a restart of the process helps."""
        return False

    def begin_serving(self) -> None:  # noqa: B027 - PostgreSQL has no file to be marked
        """Mark a SQLite file as in use, so that a plain copy of it is recognised. `close` removes the mark."""

    @abstractmethod
    def migrate(self) -> None:
        """Bring the schema to this version's. Raises `StartupRefused` when it is newer than this program."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether no schema was ever made in it. Raises `Unavailable`."""

    @abstractmethod
    def close(self) -> None:
        """Finish what was begun and let go of every connection."""

    @abstractmethod
    def _run(self, access: Access, work: Work[T]) -> T: ...


def _refuse_while_rehearsing() -> None:
    if _REHEARSING.get():
        raise RuntimeError("a change in a rehearsal would stay")


def raise_version(tx: Tx, version: int) -> Tx:
    """The same `change` at a higher authority version than it had. Raises `ValueError` for a lower one."""
    if tx.access is not Access.CHANGE or version <= tx.version:
        raise ValueError("the authority version only rises, and only in a change")
    tx.connection.execute(update(authority).values(version=version))
    return replace(tx, version=version)


def open_tx(connection: Connection, access: Access) -> Tx:
    """The transaction, its lock already held: reads the version in a statement of its own, after the lock."""
    if access is Access.CHANGE:
        raised = update(authority).values(version=authority.c.version + 1).returning(authority.c.version)
        return Tx(connection, access, connection.execute(raised).scalar_one())
    if access is Access.CHECK:
        return Tx(connection, access, 0)
    return Tx(connection, access, connection.execute(select(authority.c.version)).scalar_one())
