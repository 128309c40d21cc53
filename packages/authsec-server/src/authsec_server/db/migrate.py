"""Upgrade the schema with alembic, inside the caller's transaction.

Alembic is imported only when the schema needs an upgrade.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from authsec_server.db.sqlite_reading import any_text
from authsec_server.failures import StartupRefused

_VERSIONS = {
    "postgresql": "SELECT version_num FROM alembic_version",
    "sqlite": "SELECT substr(version_num, 1, 100) FROM alembic_version LIMIT 10",  # SQLite stores values of any length
}


def revision_of(connection: Connection) -> str | None:
    """Return the version of the database's schema, or None without a schema.

    No AuthSec program writes several versions. If there are several, they are joined into one text.
    """
    if not inspect(connection).has_table("alembic_version"):
        return None
    with any_text(connection, "backslashreplace"):
        rows = connection.execute(text(_VERSIONS[connection.dialect.name])).scalars().all()
    return ", ".join(sorted(map(str, rows))) or None


def has_schema(connection: Connection) -> bool:
    """Whether the database has a schema of any version."""
    return revision_of(connection) is not None


def is_current(connection: Connection) -> bool:
    """Whether the schema has the version that this program makes."""
    return revision_of(connection) == newest_revision()


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Upgrade the schema to this program's version, or to an earlier `revision`.

    Raises `StartupRefused` for the schema of a newer program, because a write could destroy the meaning of newer
    data. Also raises `StartupRefused` for a schema from before the first release.
    """
    current = revision_of(connection)
    if current == newest_revision():
        return
    if current is not None and current < min(_revisions()):
        raise StartupRefused(
            f"The database has schema {current}, made by a version before the first release. No released version can "
            "read the schema.",
            "Export its configuration with that version, and apply it to a new authority.",
        )
    if current is not None and current not in _revisions():
        raise StartupRefused(
            f"The database has schema {current}, made by a newer AuthSec. This version knows schemas up to "
            f"{newest_revision()}.",
            "Start the newer version, or restore a backup made before the upgrade.",
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "authsec_server:db/migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def newest_revision() -> str:
    """Return the schema version that this program makes."""
    return max(_revisions())


@cache
def _revisions() -> frozenset[str]:
    """Read the revisions from the names of the migration files, for example `0101` from `0101_audit_log.py`."""
    folder = files("authsec_server") / "db" / "migrations" / "versions"
    return frozenset(each.name.partition("_")[0] for each in folder.iterdir() if each.name[0].isdigit())
