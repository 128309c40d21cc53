"""Database transactions, with the same guarantees on SQLite and PostgreSQL.

Each of five methods has its own guarantees:

`read`    reads one consistent snapshot and writes nothing.
`check`   reads one snapshot, even if tables are missing. The authority version in the `Tx` is 0.
`append`  writes data that changes nobody's authority (a counter, a time of last use).
`record`  writes to the audit log under the *shared* authority lock. So the authority version in the `Tx`
          stays current until the commit.
`change`  changes authority under the *exclusive* lock, and raises the authority version. The lock is taken
          before the first read.

`rehearse` runs a `change` and rolls it back before it returns: a dry run shows the effect of a change.

The locks put tokens and changes in order. After a change that revokes a token, the token cannot be recorded.
And a change never misses a token that is being issued.

`record` and `change` refuse an authority version below one that this process has already seen. The attack: raw SQL sets
the version back just before a revocation. The change raises the version to the old value, so the revocation has the
version of live tokens and revokes none of them. Only the owner of the lock compares: no change can be committed
meanwhile, so an honest version is never below one that was seen. Another transaction may read an older snapshot.

The function `work` gets an open `Tx`. The transaction may be rolled back, and `work` may never run. So `work`
must have no effect outside the transaction.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import Connection, bindparam, update

from authsec_server.db.migrate import is_older, newest_revision
from authsec_server.db.recent_changes import AuthorityState, RecentChanges
from authsec_server.db.releases import may_run, too_new
from authsec_server.db.schema import authority
from authsec_server.db.table_changes import TableChanges
from authsec_server.failures import Fault, StartupRefused, Unavailable
from authsec_server.metrics.catalogue import DATABASE_FAILURES

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Access(Enum):
    """The five kinds of transaction; the module's docstring defines them."""

    READ = "read"
    CHECK = "check"
    APPEND = "append"
    RECORD = "record"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class Tx:
    """An open transaction: the connection for the stores' statements, and the authority version.

    `version` is the authority version at the start of the transaction; in a `change`, it is the raised version.
    `change_id` is random: after a restore or a failed commit, another change may make the same version.
    In a `change`, `changes` records the rows that are written to tables with a digest, and `earlier` is the state
    before. In other transactions, both are None. `event_key` is the key of the MACs of events (`Database.event_key`).
    `master_key_id` is the id of the master key in the database; empty before the first change of the master key.
    """

    connection: Connection
    access: Access
    version: int
    change_id: str = ""
    changes: TableChanges | None = None
    earlier: AuthorityState | None = None
    event_key: bytes | None = field(default=None, repr=False)
    master_key_id: str = ""

    @property
    def state(self) -> AuthorityState:
        """The authority version with the id of its change."""
        return AuthorityState(self.version, self.change_id)


Work = Callable[[Tx], T]
READING = frozenset({Access.READ, Access.CHECK})
PROMOTED: Final = (
    "A standby of PostgreSQL became the primary. The former primary did not wait for the standby, so the last "
    "acknowledged tokens and changes may be missing."
)
_LOCKED = frozenset({Access.RECORD, Access.CHANGE})
_REHEARSING: ContextVar[bool] = ContextVar("rehearsing", default=False)


class _Undone(Exception):
    """The exception that rolls back a dry run and carries the result of the dry run out of the transaction."""

    def __init__(self, result: Any) -> None:
        super().__init__("undone")
        self.result = result


@contextmanager
def rehearsing() -> Iterator[None]:
    """Forbid `record` and `change` within this context, so that a dry run cannot write.

    Both methods raise `RuntimeError` within the context.
    """
    token = _REHEARSING.set(True)
    try:
        yield
    finally:
        _REHEARSING.reset(token)


class Database(ABC):
    """An open database. Every method blocks its thread for a limited time.

    `event_key` is the key of the MACs of events. Loading the master key sets it, before anything is recorded. Without
    the key, events get no MAC, and a sealer checks none. `master_key_id` is set with the key. While the database has
    another id, every method but `check` raises `Unavailable`: somebody changed the master key.

    If a method fails, it raises `Unavailable` if nothing was committed, or `OutcomeUnknown` if the commit got no
    answer. `damaged` describes the damage of the database file. The value stays until the process restarts; until
    then every method raises `Unavailable`.
    """

    dialect: str
    event_key: bytes | None = None
    master_key_id: str | None = None
    damaged: str | None = None
    recent_changes: RecentChanges
    upgrades_at_start = False  # whether the start of a server upgrades the schema
    lacks_wal = False  # a SQLite file that was copied without its -wal file: its last transactions are missing
    _seen = 0  # the highest committed authority version that this process has read
    _seen_lower: tuple[int, int] | None = None  # the last lower version that was logged, and `_seen` at that time
    _seeing = threading.Lock()
    _tell: tuple[Callable[[], None], ...] = ()

    def read(self, work: Work[T]) -> T:
        """Run `work` on one consistent snapshot."""
        return self._run_current(Access.READ, work)

    def check(self, work: Work[T]) -> T:
        """Run `work` on one consistent snapshot, even if tables are missing. The `Tx` has version 0."""
        return self._run_current(Access.CHECK, work)

    def append(self, work: Work[T]) -> T:
        """Run `work` and commit, without the authority lock."""
        return self._run_current(Access.APPEND, work)

    def record(self, work: Work[T]) -> T:
        """Run `work` and commit, under the shared authority lock."""
        _refuse_while_rehearsing()
        return self._run_current(Access.RECORD, work)

    def change(self, work: Work[T]) -> T:
        """Run `work` and commit, under the exclusive authority lock, at a new authority version."""
        _refuse_while_rehearsing()

        def digested(tx: Tx) -> tuple[T, Tx, Set[str] | None]:
            with TableChanges.watching(tx.connection) as changes:
                result = work(replace(tx, changes=changes))
                changes.settle()
            self._refuse_interference(tx.connection, changes)
            return result, tx, changes.clients

        result, tx, clients = self._run_current(Access.CHANGE, digested)
        if tx.earlier is not None:
            self.recent_changes.add(tx.earlier, tx.state, clients)
        for tell in self._tell:
            tell()
        return result

    def rehearse(self, work: Work[T]) -> T:
        """Run `work` as `change` does, then roll everything back.

        The authority version stays unchanged, and no `tell` function is called.
        """

        def undone(tx: Tx) -> None:
            # PostgreSQL keeps rows that were rolled back, so an event of a dry run gets no MAC.
            raise _Undone(work(replace(tx, event_key=None)))

        try:
            self._run_current(Access.CHANGE, undone)
        except _Undone as over:
            result: T = over.result
            return result
        raise RuntimeError("a dry run was not undone")

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """Call `tell` after each change within this context, from any thread.

        PostgreSQL reports the changes of other processes as well. A call is only a hint: it may be missing after a
        change, and it may come without a change.
        """
        self._tell = (*self._tell, tell)
        try:
            yield
        finally:
            self._tell = tuple(each for each in self._tell if each is not tell)

    def time(self) -> datetime | None:
        """Return the database server's time; None for a SQLite file, which has only the clock of this machine."""
        return None

    def has_stopped(self) -> bool:
        """Whether the writer thread, which every write needs, has ended. Only a restart of the process helps."""
        return False

    def begin_serving(self) -> None:  # noqa: B027 - PostgreSQL has no file to be marked
        """Mark a SQLite file as in use. `close` removes the mark.

        A server recognises by the mark that the file is a plain copy, made while another server used the original.
        """

    @property
    def was_promoted(self) -> bool:
        """Whether a standby became the primary, and may lack acknowledged transactions."""
        return False

    def accept_promotion(self) -> None:  # noqa: B027 - SQLite has no standby
        """Clear `was_promoted`: the operator has recorded that transactions are missing."""

    def look_at_file(self) -> None:  # noqa: B027 - PostgreSQL's files are PostgreSQL's
        """Set `damaged` if another program overwrote the SQLite file since `begin_serving`."""

    def prepare(self, *, serves: bool) -> None:
        """Make the schema of an empty database, or check that this program may run on the schema.

        The start of a server also upgrades a SQLite file, after a backup. Raises `StartupRefused` for any other schema
        that `migrate` would upgrade: other servers may use the database, and the upgrade may be too early.
        """
        upgrades = serves and self.upgrades_at_start
        if not upgrades and is_older(revision := self.revision()):
            raise StartupRefused(
                f"The database has schema {revision}, and this version of AuthSec needs {newest_revision()}.",
                "Upgrade the schema: authsec db upgrade (docs/upgrade.md).",
            )
        self.migrate()

    @abstractmethod
    def migrate(self) -> Path | None:
        """Make or upgrade the schema to this program's version. Return the backup of a SQLite file, if one was made.

        Raises `StartupRefused` when the schema is newer and this program may not run on it, or when there is no room
        for the backup.
        """

    @abstractmethod
    def revision(self) -> str | None:
        """Return the revision of the schema; None if the database is empty. Raises `Unavailable`."""

    def is_empty(self) -> bool:
        """Whether the database has no schema of any version. Raises `Unavailable`."""
        return self.revision() is None

    @abstractmethod
    def close(self) -> None:
        """Finish the queued writes and close every connection."""

    @abstractmethod
    def _refuse_interference(self, connection: Connection, changes: TableChanges) -> None:
        """Raise `Unavailable` if another than AuthSec could alter, or has altered, the rows that a `change` writes.

        For example, somebody added a trigger to the table.
        """

    def _run_current(self, access: Access, work: Work[T]) -> T:
        """Run `work`, unless the authority version was set back. Remember the version after a commit or a read."""
        versions = []

        def compared(tx: Tx) -> T:
            if self.master_key_id is not None and tx.master_key_id not in ("", self.master_key_id):
                raise _master_key_changed()
            if access in _LOCKED:
                if self.was_promoted:
                    raise Unavailable(PROMOTED, "The operator runs authsec admin restored.", fault=Fault.OLDER)
                self._refuse_lower(tx.version - 1 if access is Access.CHANGE else tx.version)
            versions.append(tx.version)
            return work(replace(tx, event_key=self.event_key))

        try:
            result = self._run(access, compared)
        except Unavailable as failure:
            DATABASE_FAILURES.of(failure.fault).add()
            raise
        version = versions[-1]
        if type(version) is int and version > self._seen:  # raw SQL can store a text in the SQLite file
            with self._seeing:
                self._seen = max(self._seen, version)
        return result

    def _refuse_lower(self, version: int) -> None:
        """Raise `Unavailable` if this committed version is lower than a version that this process has seen."""
        seen = self._seen
        if type(version) is not int or version >= seen:
            return
        if self._seen_lower != (version, seen):
            self._seen_lower = (version, seen)
            log.error(
                "the authority version was set back: authsec audit verify, then authsec admin restored",
                version=version,
                seen=seen,
            )
        raise Unavailable(
            f"The authority version was set back from {seen:,} to {version:,}, so revocations might revoke no tokens.",
            "An older database was restored, or somebody wrote to the database. The operator stops the servers, runs "
            "authsec audit verify and authsec admin restored, and starts the servers.",
            retry_after=60,
            fault=Fault.VERSION_SET_BACK,
        )

    @abstractmethod
    def _run(self, access: Access, work: Work[T]) -> T: ...


def _refuse_while_rehearsing() -> None:
    if _REHEARSING.get():
        raise RuntimeError("a change in a dry run would not be undone")


def _master_key_changed() -> Unavailable:
    """Return the failure of a server whose master key was changed while the server runs.

    The change takes the exclusive authority lock, so no such server records anything afterwards.
    """
    return Unavailable(
        "The master key of this database was changed, and this server has another one.",
        "Start the server again with the new master key: docs/keys.md. If nobody changed the key, somebody changed a "
        "row: authsec audit verify",
        retry_after=60,
        fault=Fault.MASTER_KEY_CHANGED,
    )


def raise_version(tx: Tx, version: int) -> Tx:
    """Set the authority version of this `change` to `version`.

    Raises `ValueError` if `version` is not above the current version, or if the transaction is not a `change`.
    """
    if tx.access is not Access.CHANGE or version <= tx.version:
        raise ValueError("the authority version can only be raised, and only in a change")
    tx.connection.execute(update(authority).values(version=version))
    return replace(tx, version=version)


_STATE: Final = f"SELECT version, change_id, oldest_release, master_key_id FROM {authority.name}"  # noqa: S608 - the driver's own: each token needs it
_RAISE_VERSION: Final = (
    update(authority)
    .values(version=authority.c.version + 1, change_id=bindparam("random"))
    .returning(authority.c.version, authority.c.change_id)
)


def open_tx(connection: Connection, access: Access) -> Tx:
    """Read or raise the authority version, and return the `Tx`. The caller already has the lock.

    The statement that takes the lock cannot also read the version: only a later statement sees the latest commit.
    """
    if access is Access.CHECK:
        return Tx(connection, access, 0)
    version, change_id, key_id = _state(connection)
    earlier = None
    if access is Access.CHANGE:
        earlier = AuthorityState(version, change_id)
        version, change_id = connection.execute(_RAISE_VERSION, {"random": token_hex(16)}).one()
    return Tx(connection, access, version, change_id, earlier=earlier, master_key_id=key_id)


def _state(connection: Connection) -> tuple[int, str, str]:
    """Read the authority version with its id, and the id of the master key.

    Raises `Unavailable` if another program made the schema too new.

    The upgrade takes the exclusive authority lock. So no older server records or changes anything afterwards.
    """
    version, change_id, oldest, key_id = connection.exec_driver_sql(_STATE).one()
    if not may_run(oldest):
        raise too_new(oldest)
    return version, change_id, key_id
