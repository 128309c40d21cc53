"""`authsec` that waits a third as long for a lock, and for PostgreSQL: a short fault then outlasts these waits, too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from authsec.cli import main
from authsec_server.db import postgresql_connection as postgresql
from authsec_server.db import sqlite
from authsec_server.db.database import Access


def wait_less_long() -> None:
    """The bounds themselves are tested in the server's tests; here they have to be reached."""
    bounds: Any = postgresql.BOUNDS
    bounds[Access.CHANGE] = replace(bounds[Access.CHANGE], idle_in_transaction_session_timeout=5000)
    for module, shorter in (
        (postgresql, {"SILENT_SECONDS": 1.7}),
        (sqlite, {"BUSY_MILLISECONDS": 1700, "START_SECONDS": 2.4}),
    ):
        for name, value in shorter.items():
            setattr(module, name, value)


if __name__ == "__main__":
    wait_less_long()
    main()
