"""The schema's versions, by alembic, run inside the caller's transaction."""

from __future__ import annotations

from functools import cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from authsec_server.failures import StartupRefused


def has_schema(connection: Connection) -> bool:
    """Whether the database has a schema of any version."""
    return MigrationContext.configure(connection).get_current_revision() is not None


def is_current(connection: Connection) -> bool:
    """Whether the schema is this version's."""
    return MigrationContext.configure(connection).get_current_revision() == _scripts().get_current_head()


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date. A schema from a newer program is refused: writing to it could lose what it means."""
    scripts = _scripts()
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise StartupRefused(
            f"The database has schema {current}, made by a newer AuthSec; this one knows up to"
            f" {scripts.get_current_head()}.",
            "Start the newer version, or restore a backup made before the upgrade.",
        )
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def newest_revision() -> str:
    """The schema's version that this program makes."""
    return _scripts().get_current_head() or ""


@cache
def _scripts() -> ScriptDirectory:
    """The migrations, read once a process: they are files of this package."""
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "authsec_server:db/migrations")
    return config
