"""The URL of a database: the forms that the settings accept, and SQLAlchemy's form."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_SCHEME = re.compile(r"^postgres(ql)?(\+psycopg)?://")
# libpq's form of a URL with several hosts. SQLAlchemy has another form.
_SEVERAL_HOSTS = re.compile(r"^([a-z+]+://(?:[^/@]*@)?)([^/?@]*,[^/?@]*)(/[^?]*)?\??")
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?")


def sqlalchemy_url(database: str) -> str:
    """Return the URL of a PostgreSQL or SQLite database in SQLAlchemy's form."""
    return _SEVERAL_HOSTS.sub(_as_parameters, _SCHEME.sub("postgresql+psycopg://", database))


def is_database_url(value: str) -> bool:
    """Whether the value looks like the URL of a PostgreSQL or SQLite database."""
    if several := _SEVERAL_HOSTS.match(value):
        if not all(map(_HOST.fullmatch, several[2].split(","))):
            return False
        value = sqlalchemy_url(value)
    try:
        return bool(_SCHEME.match(value) or value.startswith("sqlite://")) and urlsplit(value).port != 0
    except ValueError:  # a port that is no number
        return False


def _as_parameters(several: re.Match[str]) -> str:
    hosts = "&".join(f"host={host}" for host in several[2].split(","))
    return f"{several[1]}{several[3] or '/'}?{hosts}{'&' if several.end() < len(several.string) else ''}"
