"""`authsec backup`: copy the embedded database while servers use it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from sqlalchemy import make_url

from authsec_server.cli.caller import Caller, local_command
from authsec_server.cli.files import NamedFile
from authsec_server.cli.local import InProcess, failed
from authsec_server.cli.output import Output, styled
from authsec_server.cli.transport import CallFailed
from authsec_server.db import copy_database
from authsec_server.failures import Failure
from authsec_server.keys.master_key import FILE_NAME
from authsec_server.settings import Settings


@click.command()
@click.argument(
    "file", type=NamedFile("The command writes the copy to this new file, e.g. /backups/authsec-2026-11-28.")
)
@local_command
def backup(caller: Caller, output: Output, file: Path) -> None:
    """Copy the embedded database to FILE while servers run.

    The copy is consistent and needs no other file. The copy does not contain the master key: store the master
    key in another place. After you restore the copy, run `authsec admin restored`. PostgreSQL has its own
    backup tools: docs/backup.md.
    """
    assert isinstance(caller.reach, InProcess)  # always true for a local command
    settings = caller.reach.settings
    try:
        copy_database(_database_file(settings), file)
    except Failure as failure:
        raise failed(failure) from None
    told = _contents(file) | {"file": str(file), "bytes": file.stat().st_size, "master_key": str(_master_key(settings))}
    output.result(
        told,
        styled(f"{file} contains the database, with {told['sealed_events']:,} sealed events.", "green"),
        "The backup does not contain the master key, which decrypts the keys in the backup. Keep a copy of "
        f"{told['master_key']} elsewhere.",
        f"After you restore the backup, run: {caller.follow_up('admin', 'restored')}",
    )


def _database_file(settings: Settings) -> Path:
    url = make_url(settings.database_url)
    if not url.drivername.startswith("sqlite"):
        raise CallFailed(
            "This command does not back up PostgreSQL: use pg_dump or pg_basebackup.", "See docs/backup.md."
        )
    return Path(url.database or "")


def _master_key(settings: Settings) -> Path:
    return settings.master_key_file or (settings.data / FILE_NAME).absolute()


def _contents(file: Path) -> dict[str, Any]:
    """Read the authority version and the number of sealed events from the copy."""
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        (version,) = connection.execute("SELECT version FROM authority").fetchone()
        (sealed,) = connection.execute("SELECT coalesce(max(size), 0) FROM checkpoints").fetchone()
    return {"authority_version": version, "sealed_events": sealed}
