"""Database URLs for display, without passwords. A URL can contain passwords in several parts."""

from __future__ import annotations

from sqlalchemy import make_url


def place(database_url: str) -> str:
    """Describe the location of the database."""
    url = make_url(database_url)
    return f"PostgreSQL database {url.database or ''} at {url.host or url.query.get('host') or 'this machine'}"


def shareable(database: str) -> str:
    """Return the URL if it cannot contain a password; otherwise return the word `URL`."""
    url = make_url(database)
    return "URL" if url.password or url.query else database
