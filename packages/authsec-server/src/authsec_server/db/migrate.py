"""Make or upgrade the schema with alembic, inside the caller's transaction.

Alembic is imported only when the schema needs an upgrade. A program also runs on the schema of a newer release, if the
database names an `oldest_release` that is not newer than the program (`releases`).

Such a migration may add tables, indexes that are not unique, and columns that are nullable or have a constant default.
It must name its own release instead, if an older program could break the promises of the newer one:

- a column of an event that a leaf or a MAC covers, or a new kind of event, which an older sealer does not seal
- a child table with a digest, whose rows the database deletes with the parent
- a table or column that is removed or renamed, a new constraint or trigger, a unique index
- rows or values that an older program would read in another meaning
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from sqlalchemy import Connection, inspect, text

from authsec_server.db.releases import may_run, order_of, shown, this_release
from authsec_server.db.sqlite_reading import any_text
from authsec_server.db.table_digests import later_columns_of_digests
from authsec_server.failures import StartupRefused

_LONGEST_VERSION: Final = 40  # characters. Raw SQL can write very many versions, and versions of any length
_VERSIONS: Final = {
    "postgresql": f"SELECT left(version_num::text, {_LONGEST_VERSION}) FROM alembic_version LIMIT 2",  # noqa: S608 - of constants
    "sqlite": f"SELECT substr(version_num, 1, {_LONGEST_VERSION}) FROM alembic_version LIMIT 2",  # noqa: S608 - of constants
}
_FOLDER: Final = files("authsec_server") / "db" / "migrations" / "versions"
_TITLE: Final = re.compile(r'"""(.+?)(?:"""|\n)')
_OLDEST: Final = re.compile(r'^oldest_release = "([0-9.]+)"$', re.MULTILINE)
_RELEASES: Final = "0109"  # the first schema with the columns of `_STORE`
_STORE: Final = text("UPDATE authority SET schema_release = :made_by, oldest_release = :oldest, later_columns = :later")
_STORED: Final = "SELECT substr(schema_release, 1, 20), substr(oldest_release, 1, 20) FROM authority LIMIT 1"


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration file: the revision, the first line of the docstring, and the oldest release for the new schema."""

    revision: str
    title: str
    oldest_release: str


@dataclass(frozen=True, slots=True)
class StoredReleases:
    """The release that made the schema, and the oldest release that may run on the schema."""

    made_by: str
    oldest: str


def revision_of(connection: Connection) -> str | None:
    """Return the version of the database's schema, or None without a schema.

    No AuthSec program writes several versions. If there are several, two are joined into one text.
    """
    if not inspect(connection).has_table("alembic_version"):
        return None
    with any_text(connection, "backslashreplace"):
        rows = connection.exec_driver_sql(_VERSIONS[connection.dialect.name]).scalars().all()
    return ", ".join(sorted(str(each)[:_LONGEST_VERSION] for each in rows)) or None


def has_schema(connection: Connection) -> bool:
    """Whether the database has a schema of any version."""
    return revision_of(connection) is not None


def is_current(connection: Connection) -> bool:
    """Whether the schema has the version that this program makes."""
    return revision_of(connection) == newest_revision()


def is_older(revision: str | None) -> bool:
    """Whether this program upgrades a schema of this revision. False without a schema."""
    return revision in _revisions() and revision != newest_revision()


def is_newer(revision: str) -> bool:
    """Whether this can be the revision of a newer program's schema."""
    return re.fullmatch(r"[0-9]{4}", revision) is not None and revision > newest_revision()


def stored_releases(connection: Connection) -> StoredReleases:
    """Read the releases that are stored with the schema of this program or of a newer one.

    Each is an empty text if the row is missing. The attack: raw SQL writes a newer version, and deletes the row.
    """
    with any_text(connection, "backslashreplace"):
        made_by, oldest = connection.exec_driver_sql(_STORED).first() or ("", "")
    return StoredReleases(str(made_by), str(oldest))


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Upgrade the schema to this program's version, or to an earlier `revision`.

    A newer schema stays as it is, if this program may run on it. Otherwise raises `StartupRefused`, because a write
    could destroy the meaning of newer data. Also raises `StartupRefused` for a schema from before the first release.
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
        _refuse_too_new(connection, current)
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "authsec_server:db/migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    if revision == "head" or revision >= _RELEASES:
        later = json.dumps(later_columns_of_digests(), sort_keys=True)
        connection.execute(_STORE, {"made_by": this_release(), "oldest": oldest_release(), "later": later})


def _refuse_too_new(connection: Connection, current: str) -> None:
    """Raise `StartupRefused` if this program may not run on this schema of a newer program."""
    if not is_newer(current):
        raise StartupRefused(
            f"The database has schema {current}, which no AuthSec makes. This version knows schemas up to "
            f"{newest_revision()}.",
            "Restore a backup: docs/backup.md.",
        )
    stored = stored_releases(connection)
    if not may_run(stored.oldest):
        made = f" ({shown(stored.made_by)})" if order_of(stored.made_by) else ""
        needs = f"AuthSec {shown(stored.oldest)} or newer" if order_of(stored.oldest) else "a newer AuthSec"
        raise StartupRefused(
            f"The database has schema {current}, made by a newer AuthSec{made}. The schema needs {needs}, and this "
            f"version is {this_release()}.",
            "Start the newer version, or restore a backup made before the upgrade: docs/upgrade.md.",
        )


def refused_upgrade(database: str, reason: str) -> StartupRefused:
    """Return the failure of an upgrade whose statement `database` refused, for example for a column that exists."""
    return StartupRefused(
        f"{database} refused the upgrade of the schema, so nothing was changed: {reason}",
        "Use the role that owns the tables. If a table or column of the newer schema exists already, somebody changed "
        "the version of the schema: restore a backup (docs/backup.md).",
    )


def pending(current: str | None) -> Sequence[Migration]:
    """Return the migrations that `upgrade` runs on a schema of this revision, or on an empty database."""
    return [each for each in _migrations() if current is None or each.revision > current]


def oldest_release() -> str:
    """Return the oldest release that may run on this program's schema: the newest release that a migration names."""
    return max((each.oldest_release for each in _migrations()), key=lambda release: order_of(release) or ())


def newest_revision() -> str:
    """Return the schema version that this program makes."""
    return max(_revisions())


@cache
def _revisions() -> frozenset[str]:
    """Read the revisions from the names of the migration files, for example `0101` from `0101_audit_log.py`."""
    return frozenset(each.name.partition("_")[0] for each in _FOLDER.iterdir() if each.name[0].isdigit())


@cache
def _migrations() -> Sequence[Migration]:
    """Read the migration files, oldest first, without running them. Raises `ValueError` for an incomplete file."""
    found = (_migration(each) for each in _FOLDER.iterdir() if each.name[0].isdigit())
    return sorted(found, key=lambda its: its.revision)


def _migration(file: Any) -> Migration:
    source = file.read_text("utf-8")
    title, oldest = _TITLE.match(source), _OLDEST.search(source)
    if title is None or oldest is None:
        raise ValueError(f"the migration {file.name} lacks a docstring or `oldest_release`")
    return Migration(file.name.partition("_")[0], title[1], oldest[1])
