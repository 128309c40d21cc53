"""How long each kind of transaction may take on PostgreSQL, and when a connection is believed to be lost.

The server's own bounds (milliseconds below) end a transaction whose client is frozen, and give its locks back. The
client's bounds (seconds) are a little longer, and end the wait for a server that says nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import URL

from authsec_server.db.database import Access
from authsec_server.db.postgresql_session import OPTIONS

PING_SECONDS: Final = 2.0  # for a connection out of the pool to say that it is alive
CONNECT_SECONDS: Final = 3  # for each host of the URL
SESSION_SECONDS: Final = 300  # then a connection is closed, and its successor looks for its tables anew
POOL_SECONDS: Final = 4.0  # for a free connection; an apply holds the authority lock for 2-3 s
SILENT_SECONDS: Final = 5.0  # for each answer while PostgreSQL answers nobody
MARGIN_SECONDS: Final = 2.0  # of the client's bound over the server's
PATIENT_SECONDS: Final = 3600.0  # for each statement of a transaction that reads or deletes months of events


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The bounds of one transaction, in milliseconds, as PostgreSQL's settings of these names."""

    lock_timeout: int
    statement_timeout: int
    idle_in_transaction_session_timeout: int

    @property
    def call_seconds(self) -> float:
        """How long the client waits for one answer."""
        return self.statement_timeout / 1000 + MARGIN_SECONDS


_OF_SESSIONS: Final = Bounds(lock_timeout=5000, statement_timeout=15_000, idle_in_transaction_session_timeout=30_000)
BOUNDS: Final = {
    Access.READ: _OF_SESSIONS,
    Access.CHECK: _OF_SESSIONS,
    # Append: a frozen server must not keep a row that a revocation needs.
    Access.APPEND: Bounds(lock_timeout=5000, statement_timeout=15_000, idle_in_transaction_session_timeout=2500),
    # Record: a frozen server must not delay a revocation by more than 3 s.
    Access.RECORD: Bounds(lock_timeout=3000, statement_timeout=5000, idle_in_transaction_session_timeout=2000),
    # Change: others wait for an apply, which plans for seconds between two statements.
    Access.CHANGE: Bounds(lock_timeout=5000, statement_timeout=15_000, idle_in_transaction_session_timeout=15_000),
}


def connect_arguments(url: URL) -> dict[str, Any]:
    """What libpq is told for each connection. TCP settings in the URL are the operator's and win."""
    network = {
        "keepalives": 1,
        "keepalives_idle": 10,  # seconds
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,  # milliseconds
        "connect_timeout": CONNECT_SECONDS,
    }
    chosen = {name: value for name, value in network.items() if name not in url.query}
    return {**chosen, "client_encoding": "utf8"}


def narrower(access: Access) -> dict[str, int]:
    """The settings of this kind of transaction that differ from the session's."""
    ours = asdict(_OF_SESSIONS)
    return {name: value for name, value in asdict(BOUNDS[access]).items() if value != ours[name]}


def session_options() -> str:
    """The settings of a session: nothing waits for ever, and a commit is durable before it is answered."""
    settings = {**asdict(_OF_SESSIONS), "synchronous_commit": "on", **OPTIONS}
    return " ".join(f"-c {name}={value}" for name, value in settings.items())
