"""`authsec audit drop` and `rebuild-counts`: delete the events of old months; rebuild the counts of dashboards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from authsec_server.audit.sealing import count_rebuild
from authsec_server.audit.sealing.count_rebuild import Rebuilt
from authsec_server.audit.sealing.retention import DropPreview
from authsec_server.cli.audit_files import (
    EXPORT_FILE,
    Exported,
    Month,
    an_export,
    readable,
    sealing_key_option,
    sha256_of,
)
from authsec_server.cli.caller import Caller, local_command
from authsec_server.cli.confirm import confirm
from authsec_server.cli.files import NamedFile
from authsec_server.cli.local import InProcess, Opened
from authsec_server.cli.output import Output, styled

_EXPORT = NamedFile(EXPORT_FILE.which, exists=True)  # checked before the confirmation question


@click.command("drop")
@click.option("--before", type=Month(), required=True, help="Drop all months before this month, e.g. 2026-08.")
@click.option(
    "--export",
    "file",
    type=_EXPORT,
    required=True,
    help="The saved output of `export-sealed`, e.g. until-august.jsonl.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--dry-run", is_flag=True, help="Check everything, show how many events would be deleted, and delete nothing."
)
@local_command
@sealing_key_option
def drop_months(caller: Caller, output: Output, before: datetime, file: Path, yes: bool, dry_run: bool) -> None:
    """Delete the events of old months, after checking that an export contains each event as it was sealed.

    The seals of the deleted events stay, so the remaining events can be verified as before. A new event records
    what was dropped, by whom, and the SHA-256 of the export. `verify --with FILE` also verifies the dropped
    events, as long as you keep the export.
    """
    assert isinstance(caller.reach, InProcess)  # always true for a local command
    if dry_run or not yes:  # refuse before asking for confirmation
        with _dropping(caller.reach, file) as opened:
            foreseen = opened.authority.dropper.rehearse(opened.act(), before, Exported(file))
    if dry_run:
        _tell_dropped(output, foreseen, file)
        return
    if not yes:
        many = f"{foreseen.events:,} event{'' if foreseen.events == 1 else 's'}"
        confirm(f"Delete {many} before {foreseen.before}? After that, {file} is the only copy.", yes=False)
    with _dropping(caller.reach, file) as opened:
        digest = sha256_of(file)
        record = opened.authority.dropper.drop(opened.act(), before, Exported(file), digest)
    told = {name: getattr(record, name) for name in ("before", "events", "numbers", "by", "export_sha256")}
    output.result(
        told,
        styled(f"{record.events:,} events before {record.before} were dropped.", "green"),
        f"The export has the SHA-256 {record.export_sha256}. Keep the export. To verify the dropped events:",
        f"  authsec audit verify --key FILE --with {file}",
    )


def _tell_dropped(output: Output, foreseen: DropPreview, file: Path) -> None:
    told = {"dry_run": True, **{name: getattr(foreseen, name) for name in ("before", "events", "numbers")}}
    low, high = foreseen.numbers
    output.result(
        told,
        f"Nothing was dropped. All events match their seals, and {foreseen.events:,} events before "
        f"{foreseen.before} would be dropped, between event {low} and event {high}. {file} contains these events.",
    )


@contextmanager
def _dropping(reach: InProcess, file: Path) -> Iterator[Opened]:
    """Open the authority for a drop with this export. Raises `CallFailed` if the file is not an export."""
    with readable(), an_export(file), reach.session() as opened:
        opened.refuse_if_older()
        yield opened


@click.command("rebuild-counts")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Show which counts differ from the events, and change nothing.")
@local_command
@sealing_key_option
def rebuild_counts(caller: Caller, output: Output, yes: bool, dry_run: bool) -> None:
    """Rebuild the counts of tokens and uses from the events.

    Run this command if `authsec audit verify` found a wrong count. The command first verifies the events, and
    counts no event that differs from its seal. If the events of old months were dropped, the counts of those
    months stay as they are. Servers may run at the same time.
    """
    assert isinstance(caller.reach, InProcess)  # always true for a local command
    if not dry_run and not yes:
        with caller.reach.session() as opened:  # refuse before asking for confirmation
            opened.refuse_if_older()
            opened.authority.dropper.keys()
        confirm("Rebuild the counts of tokens and uses?", yes=False)
    with caller.reach.session() as opened:
        opened.refuse_if_older()
        run = count_rebuild.foresee_rebuild if dry_run else count_rebuild.rebuild_counts
        rebuilt = run(opened.authority.database, opened.act(), opened.authority.dropper.keys())
    told = {"dry_run": dry_run, "rows": dict(rebuilt.rows), "mark": rebuilt.mark, "differences": rebuilt.examples}
    output.result(told, *_for_people(rebuilt, dry_run))


def _for_people(rebuilt: Rebuilt, dry_run: bool) -> list[Any]:
    if not rebuilt.changes:
        return [styled("The counts match the events. Nothing was changed.", "green")]
    rows = ", ".join(f"{number:,} of {name}" for name, number in rebuilt.rows.items() if number) or "none"
    if dry_run:
        mark = ["The mark in the table `counted` is wrong."] if rebuilt.mark else []
        return [f"Nothing was changed. Rows that differ: {rows}.", *mark, *rebuilt.examples]
    mark = ["The mark in the table `counted` was wrong and was corrected."] if rebuilt.mark else []
    return [styled(f"The counts were rebuilt. Rows that were changed: {rows}.", "green"), *mark]
