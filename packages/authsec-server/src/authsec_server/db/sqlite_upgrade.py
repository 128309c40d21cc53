"""The backup of a SQLite file before an upgrade of the schema."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Final

from authsec_server.db.sqlite_files import copy_open_database
from authsec_server.failures import Conflict, Failure, StartupRefused

_ROOM: Final = 16 * 2**20  # octets that stay free for the upgrade and for the next tokens


def backup_of(file: Path, revision: str, at: datetime) -> Path:
    """Return the name of the backup, beside the file: with the old schema and the time."""
    return file.with_name(f"{file.name}.schema-{revision}.{at:%Y-%m-%dT%H-%M-%SZ}")


def back_up(file: Path, revision: str, at: datetime) -> Path:
    """Copy the file, which this process has open and locked, before the upgrade. Return the path of the copy.

    Raises `StartupRefused` if there is no room for the copy, or if the copy fails.
    """
    target = backup_of(file, revision, at)
    needed = sum(each.stat().st_size for each in (file, Path(f"{file}-wal")) if each.exists())
    free = shutil.disk_usage(file.parent).free
    if free < needed + _ROOM:
        raise StartupRefused(
            f"The upgrade of the database first makes a backup beside {file}, and there is no room: the backup has "
            f"{needed / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB are free.",
            "Make room, then start again. The database is unchanged.",
        )
    try:
        copy_open_database(file, target)
    except Conflict as failure:
        raise StartupRefused(failure.message, "Start again. The database is unchanged.") from failure
    except Failure as failure:
        raise StartupRefused(
            f"The backup before the upgrade failed: {failure.message}", "The database is unchanged."
        ) from failure
    return target
