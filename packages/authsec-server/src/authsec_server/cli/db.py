"""`authsec db`: the schema of the database."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any, Final

import click

from authsec_server.cli.caller import Caller, local_command
from authsec_server.cli.local import InProcess, errors_only, failed
from authsec_server.cli.output import Output, styled
from authsec_server.db import Database, open_database
from authsec_server.db.migrate import is_newer, newest_revision, oldest_release, pending
from authsec_server.db.releases import this_release
from authsec_server.failures import Failure, Fault, Unavailable

_LOCK_SECONDS: Final = 60  # a reader that takes longer, such as `audit verify`, must end first
_PAUSE_SECONDS: Final = 3  # token requests wait during an attempt, and continue in the pause


@click.group()
def db() -> None:
    """Upgrade the schema of the database."""


@db.command()
@click.option("--dry-run", is_flag=True, help="Show the migrations that would run, and change nothing.")
@local_command
def upgrade(caller: Caller, output: Output, dry_run: bool) -> None:
    """Upgrade the schema of the database to this version of AuthSec.

    On PostgreSQL, run this command before the first server of a new version starts. Servers of the version before
    may run meanwhile, if the command prints that they may run on the new schema. The upgrade is one transaction.

    On SQLite, the start of the new server does the same. Before the upgrade, both copy the database to a new file
    beside it.

    See docs/upgrade.md.
    """
    assert isinstance(caller.reach, InProcess)  # always true for a local command
    try:
        with errors_only(), closing(open_database(caller.reach.settings.database_url)) as database:
            before = database.revision()
            wanted = pending(before)
            if wanted and not dry_run:
                backup = _migrated(database, output)
            else:
                backup = None
                if not dry_run:
                    database.migrate()  # refuses a schema that this version may not use
    except Failure as failure:
        raise failed(failure) from None
    answer = {
        "dry_run": dry_run,
        "from": before,
        "to": before if before is not None and is_newer(before) else newest_revision(),
        "migrations": [
            {"revision": each.revision, "title": each.title, "oldest_release": each.oldest_release} for each in wanted
        ],
        "release": this_release(),
        "oldest_release": oldest_release(),
        "backup": str(backup) if backup else None,
    }
    output.result(answer, *_for_people(answer))


def _migrated(database: Database, output: Output) -> Any:
    """Upgrade the schema, and retry while another transaction keeps a lock. Return the backup of a SQLite file."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return database.migrate()
        except Unavailable as failure:
            if failure.fault is not Fault.AUTHORITY_LOCKED or time.monotonic() > deadline:
                raise
            output.note("Another transaction uses the tables, for example `audit verify` or pg_dump. Trying again.")
            time.sleep(_PAUSE_SECONDS)


def _for_people(answer: dict[str, Any]) -> list[Any]:
    before, to = answer["from"], answer["to"]
    if not answer["migrations"]:
        newer = f", which AuthSec {answer['release']} may use" if to != newest_revision() else ""
        return [styled(f"The database already has schema {to}{newer}. Nothing was changed.", "green")]
    lines = [f"  {each['revision']}  {each['title']}" for each in answer["migrations"]]
    came_from = f"from schema {before} to schema {to}" if before else f"from an empty database to schema {to}"
    would = "would be upgraded" if answer["dry_run"] else "was upgraded"
    told: list[Any] = [styled(f"The database {would} {came_from}.", "yellow" if answer["dry_run"] else "green"), *lines]
    told.append(f"AuthSec {answer['oldest_release']} and newer may run on schema {to}.")
    if answer["backup"]:
        told.append(f"The backup from before the upgrade is {answer['backup']}")
    return told
