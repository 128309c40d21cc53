"""One migrated PostgreSQL database that tests use one after the other, each finding it as the migrations left it.

To create a database and drop it takes the server a quarter of a second of processor time; to empty one, a hundredth.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from authsec_server.db import open_database
from psycopg import sql

NAME, TEMPLATE = "authsec", "migrated"
RECOVERY_SECONDS = 60
# All that a migration makes: a test that changes any of it gets others a new database.
_LOOK = """
SELECT array_agg(line ORDER BY line) FROM (
    SELECT format('%s.%s %s %s', r.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull) AS line
    FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid
    WHERE r.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class r ON r.oid = indrelid
    WHERE r.relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT tgisinternal
    UNION ALL SELECT definition FROM pg_rules WHERE schemaname = 'public'
    UNION ALL SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', seqrelid::regclass, seqcache, seqincrement, seqmin, seqmax, seqcycle)
    FROM pg_sequence
) AS lines
"""
_TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relispartition, relname
"""
_END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_RESTART = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fresh:
    """As the migrations leave a database: how it looks, its tables, and the rows of those that have any."""

    look: list[str]
    tables: list[str]
    rows: Mapping[str, bytes]


class ReusedDatabase:
    """The database, on a server of this run; `server` is the URL of its maintenance database."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.url = sqlalchemy_url(server, NAME)
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        database = open_database(sqlalchemy_url(server, TEMPLATE))
        database.migrate()
        database.close()
        with self._session(TEMPLATE) as session:
            session.execute("ANALYZE")  # a check of the whole schema has bad plans without it
        self._make()
        with self._session() as session:
            self._fresh = _seen(session)

    def clear(self) -> None:
        """Make it as it was. Whoever is still connected is thrown out.

        If the server of the database crashed, or the database cannot be emptied, it is replaced. Otherwise the next
        test would find the rows of this one.
        """
        with suppress(psycopg.Error), self._session() as session:
            session.execute(_END_OTHERS)
            session.execute("SET session_replication_role = replica")  # in whatever order the tables are emptied
            if self._emptied(session):
                return
        self._wait()
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(NAME)))
        self._make()

    def _wait(self) -> None:
        """Wait for a server that recovers from a crash."""
        last = time.monotonic() + RECOVERY_SECONDS
        while time.monotonic() < last:
            with suppress(psycopg.OperationalError), psycopg.connect(self._server):
                return
            time.sleep(0.1)

    def _make(self) -> None:
        """Copy the template, which costs a quarter of what the migrations cost."""
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(made.format(sql.Identifier(NAME), sql.Identifier(TEMPLATE)))

    def _emptied(self, session: psycopg.Connection) -> bool:
        """Whether nothing was there but rows, and tables of a test's own (the audit log has some for each month)."""
        for table in set(_column(session, _TABLES)) - set(self._fresh.tables):
            session.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(table)))
        if _column(session, _LOOK)[0] != self._fresh.look:
            return False
        emptying = [sql.SQL("DELETE FROM {}").format(sql.Identifier(table)) for table in self._fresh.tables]
        session.execute(sql.SQL("; ").join(emptying))
        for table, rows in self._fresh.rows.items():
            with session.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
                copy.write(rows)
        session.execute(_RESTART)
        return True

    @contextmanager
    def _session(self, name: str = NAME) -> Iterator[psycopg.Connection]:
        head, _, query = self._server.partition("?")
        with psycopg.connect(f"{head.rpartition('/')[0]}/{name}?{query}") as session:
            yield session


def _seen(session: psycopg.Connection) -> _Fresh:
    tables = _column(session, _TABLES)
    rows = {}
    for table in tables:
        with session.cursor().copy(sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(table))) as copy:
            rows[table] = b"".join(copy)
    filled = {table: each for table, each in rows.items() if each}
    return _Fresh(look=_column(session, _LOOK)[0], tables=tables, rows=filled)


def _column(session: psycopg.Connection, query: str) -> list:
    return [row[0] for row in session.execute(query)]


def sqlalchemy_url(uri: str, database: str) -> str:
    """The URL of a database on the server of this one, as SQLAlchemy wants it."""
    head, _, query = uri.partition("?")
    head = head.replace("postgresql://", "postgresql+psycopg://").rpartition("/")[0]
    return f"{head}/{database}?{query}"
