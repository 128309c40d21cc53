"""Choose the database engine for a database URL."""

from __future__ import annotations

from authsec_server.db.database import Database
from authsec_server.db.sqlite import SQLite


def open_database(url: str, *, connections: int = 16) -> Database:
    """Open the database at `url` (SQLAlchemy form). The first use reads or creates the database, not this call.

    On PostgreSQL, at most `connections` transactions run at the same time, each on its own connection.
    """
    if url.startswith("sqlite"):
        return SQLite(url)
    from authsec_server.db.postgresql import PostgreSQL  # not imported on SQLite

    return PostgreSQL(url, pool_size=connections)
