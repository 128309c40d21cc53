"""URLs of databases as they may be shown: they hold passwords, in more places than one."""

from __future__ import annotations

from sqlalchemy import make_url


def place(database_url: str) -> str:
    """Where the database is, in words."""
    url = make_url(database_url)
    return f"PostgreSQL database {url.database or ''} at {url.host or url.query.get('host') or 'this machine'}"


def shareable(database: str) -> str:
    """The URL of a database as it may be shown: only `URL` where it might hold a password, in whichever place."""
    url = make_url(database)
    return "URL" if url.password or url.query else database
