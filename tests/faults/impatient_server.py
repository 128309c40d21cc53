"""`authsec` that waits a third as long for a lock, and for PostgreSQL: a short fault then outlasts these waits, too.

The server's own tests have the real limits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from authsec.cli import main
from authsec_server.db import postgresql_connection, sqlite
from authsec_server.db.database import Access

SHORTER = (
    (postgresql_connection, "SILENT_SECONDS", 1.7),
    (sqlite, "BUSY_MILLISECONDS", 1700),
    (sqlite, "START_SECONDS", 2.4),
)
CHANGE = 5000  # milliseconds for which a frozen server keeps the authority lock of its change


def wait_less_long() -> None:
    """Set what the server reads when it is imported. A statement with a bound is built later."""
    bounds: Any = postgresql_connection.BOUNDS
    bounds[Access.CHANGE] = replace(bounds[Access.CHANGE], idle_in_transaction_session_timeout=CHANGE)
    for module, name, value in SHORTER:
        setattr(module, name, value)


if __name__ == "__main__":
    wait_less_long()
    main()
