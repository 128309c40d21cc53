"""PostgreSQL: a pool of connections, one transaction a call, the authority lock as an advisory lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from authsec_server.db.database import Access, Database, T, Work, open_tx
from authsec_server.db.migrate import upgrade
from authsec_server.db.postgresql_hints import CHANNEL, Listener
from authsec_server.failures import StartupRefused, Unavailable

AUTHORITY_LOCK = 0x41757468_53656331  # "AuthSec1": one lock for one database
MIGRATION_LOCK = AUTHORITY_LOCK + 1
SEALING_LOCK = AUTHORITY_LOCK + 2  # who seals the journal: see audit/sealing
# READ COMMITTED for the locked kinds: each statement after the lock must see what was committed before it was granted.
_ISOLATION = {Access.READ: "REPEATABLE READ"}
_LOCK = {Access.RECORD: "pg_advisory_xact_lock_shared", Access.CHANGE: "pg_advisory_xact_lock"}
# Nothing waits for ever; a commit is durable before it is answered, whatever the server's own default says.
_OPTIONS = (
    "-c lock_timeout=5000 -c statement_timeout=15000 -c idle_in_transaction_session_timeout=30000"
    " -c synchronous_commit=on -c timezone=UTC"
)


class PostgreSQL(Database):
    """A PostgreSQL database, shared by any number of server processes."""

    dialect = "postgresql"

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        self._engine: Engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            pool_pre_ping=True,
            hide_parameters=True,  # values never reach an exception text
            connect_args={"options": _OPTIONS, "connect_timeout": 5},
        )

    def _run(self, access: Access, work: Work[T]) -> T:
        try:
            with self._engine.connect() as connection:
                connection = connection.execution_options(
                    isolation_level=_ISOLATION.get(access, "READ COMMITTED"), postgresql_readonly=access is Access.READ
                )
                with connection.begin():
                    if lock := _LOCK.get(access):
                        connection.execute(text(f"SELECT {lock}(:key)"), {"key": AUTHORITY_LOCK})
                    result = work(open_tx(connection, access))
                    if access is Access.CHANGE:
                        connection.execute(text(f"NOTIFY {CHANNEL}"))  # goes out with the commit
                    return result
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise Unavailable("The database is away or too slow.") from error
        except DBAPIError as error:
            if error.connection_invalidated or is_outage(error, access):
                raise Unavailable("The database cannot do it at the moment.") from error
            raise

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        with super().telling(tell), Listener(self._engine.url, tell).listening():
            yield

    def migrate(self) -> None:
        try:
            with self._engine.begin() as connection:
                # Two servers that start together: the second waits, then finds nothing to do.
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                upgrade(connection)
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise Unavailable("The database cannot be reached.", "Check the database URL and that it is up.") from error
        except DBAPIError as error:
            if _sqlstate(error):
                raise
            raise StartupRefused("The database URL has an option that PostgreSQL does not know.") from None

    def close(self) -> None:
        self._engine.dispose()


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def is_outage(error: DBAPIError, access: Access) -> bool:
    """Whether the server cannot serve now, rather than not this statement: a standby, a shutdown, no resources left.

    PostgreSQL's SQLSTATE classes (its manual, appendix A).
    """
    state = _sqlstate(error)
    on_a_standby = state == "25006" or (state == "0A000" and "recovery" in str(error.orig))
    return (on_a_standby and access is not Access.READ) or state[:2] in {"08", "53", "57", "58", "XX"}
