"""Which engine a database URL means."""

from __future__ import annotations

from authsec_server.db.database import Database
from authsec_server.db.sqlite import SQLite


def open_database(url: str) -> Database:
    """The database at `url` (SQLAlchemy form); nothing is read or created until it is used."""
    if url.startswith("sqlite"):
        return SQLite(url)
    from authsec_server.db.postgresql import PostgreSQL  # its driver is not for those who have SQLite

    return PostgreSQL(url)
