"""`authsec audit rebuild-counts`: rebuild the counts that dashboards show."""

from __future__ import annotations

from typing import Any

import click

from authsec_server.audit.sealing import count_rebuild
from authsec_server.audit.sealing.count_rebuild import Rebuilt
from authsec_server.cli.caller import Caller, local_command
from authsec_server.cli.confirm import confirm
from authsec_server.cli.local import InProcess
from authsec_server.cli.output import Output, styled
from authsec_server.cli.sealing_key import sealing_key_option


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
    assert isinstance(caller.reach, InProcess)  # a local command's is
    if not dry_run and not yes:
        with caller.reach.session() as opened:  # a refusal comes before the question
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
