"""Detect that a standby of PostgreSQL became the primary, and that it may lack acknowledged transactions.

Each promotion begins a new timeline. A primary that waits for its standby before it confirms a commit
(`synchronous_standby_names`) loses nothing. After the promotion of any other standby, the last commits may be missing,
and no later transaction shows that: the authority version may be the same.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import psycopg
from psycopg import errors

from authsec_server.db.postgresql_session import OtherSession

# A server of a provider may forbid these functions. Then nothing is detected.
_UNKNOWN: Final = (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.UndefinedFunction)
_LOOK: Final = """
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
        ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) END,
    pg_catalog.current_setting('synchronous_standby_names'), (pg_catalog.pg_control_system()).system_identifier
"""


class Timeline:
    """The newest timeline that this process has seen, and whether its primary waited for a standby."""

    def __init__(self) -> None:
        self._cluster: int | None = None  # PostgreSQL's system identifier
        self._number = 0
        self._is_synchronous = False
        self._seeing = threading.Lock()
        self.may_lack = False  # whether the primary may lack transactions that its predecessor acknowledged

    def look(self, driver: psycopg.Connection[Any]) -> None:
        """Compare the timeline of an idle session. Raises `OtherSession` if its primary has been replaced."""
        before, driver.autocommit = driver.autocommit, True
        try:
            row = driver.execute(_LOOK.encode()).fetchone()
        except _UNKNOWN:
            return
        finally:
            if not driver.closed:
                driver.autocommit = before
        assert row is not None
        wal_file, names, cluster = row
        if wal_file is not None:  # a standby confirms no commit
            self.see(int(wal_file[:8], 16), cluster, is_synchronous=bool(names.strip()))

    def see(self, number: int, cluster: int, *, is_synchronous: bool) -> None:
        """Note the timeline of a primary. Raises `OtherSession` for an older timeline."""
        with self._seeing:
            if cluster == self._cluster and number < self._number:
                raise OtherSession(
                    f"This PostgreSQL server was replaced: it has timeline {number}, its successor has {self._number}.",
                    "Stop this PostgreSQL server. Make a standby of it with pg_rewind or pg_basebackup.",
                )
            if cluster == self._cluster and number > self._number and not self._is_synchronous:
                self.may_lack = True
            self._cluster, self._number, self._is_synchronous = cluster, number, is_synchronous
