"""`authsec audit retention`: what the scheduled retention did last, and when it runs again; run it now."""

from __future__ import annotations

from typing import Any

import click

from authsec_server.app import Runtime
from authsec_server.app.retention_task import retention_of
from authsec_server.audit.sealing.retention_run import RetentionRun, RetentionState, read_state
from authsec_server.cli.audit_files import readable, sealing_key_option
from authsec_server.cli.caller import Caller, local_command
from authsec_server.cli.local import InProcess
from authsec_server.cli.output import Output, when
from authsec_server.cli.transport import CallFailed
from authsec_server.settings import ENV_PREFIX, Settings
from authsec_server.web.instants import rfc3339

_OFF = "The scheduled retention is off: all events stay."
_TURN_ON = f"To turn it on: {ENV_PREFIX}AUDIT_RETENTION_DAYS=400 and {ENV_PREFIX}AUDIT_EXPORT_FOLDER=/path/to/exports"


@click.command("retention")
@click.option("--run", "is_run", is_flag=True, help="Export and drop what is due now, and wait until that is done.")
@local_command
@sealing_key_option
def show_retention(caller: Caller, output: Output, is_run: bool) -> None:
    """Show the last run of the scheduled retention, and when the next one is due.

    The settings are those of this command's environment: give it the settings of the server. A run exports the whole
    sealed audit log to a new file, verifies the file, and then drops the months that are older than the setting.
    """
    assert isinstance(caller.reach, InProcess)  # always true for a local command
    settings, now = caller.reach.settings, Runtime().now
    with readable(), caller.reach.session() as opened:
        database = opened.authority.database
        retention = retention_of(settings, database, opened.authority.dropper, now)
        if is_run:
            opened.refuse_if_older()
            if retention is None:
                raise CallFailed(_OFF, _TURN_ON)
            if not retention.claim(now(), is_forced=True):
                raise CallFailed("Another process runs the retention at the moment.", "Wait until the run has ended.")
            retention.run(opened.act())
        state = database.read(read_state)
    output.result(_as_json(settings, state), *_for_people(settings, state))
    if is_run and state.last.outcome == "failed":
        raise click.exceptions.Exit(1)


def _as_json(settings: Settings, state: RetentionState) -> dict[str, Any]:
    last = state.last
    return {
        "days": settings.audit_retention_days,
        "folder": str(settings.audit_export_folder) if settings.audit_export_folder else None,
        "next_at": rfc3339(state.next_at),
        "busy_until": rfc3339(state.busy_until),
        "last": {
            "began_at": rfc3339(state.began_at),
            "ended_at": rfc3339(state.ended_at),
            "outcome": last.outcome or None,
            "before": last.month or None,
            "events": last.events,
            "export": last.export or None,
            "export_sha256": last.export_sha256 or None,
            "problem": last.problem or None,
        },
    }


def _for_people(settings: Settings, state: RetentionState) -> list[Any]:
    days, folder = settings.audit_retention_days, settings.audit_export_folder
    lines: list[Any] = [f"Events are kept for {days} days. Exports go to {folder}."] if days else [_OFF, _TURN_ON]
    if state.ended_at is not None:
        lines.append(_last_run(state.last, when(rfc3339(state.ended_at))))
    if days:
        lines.append(f"Next run: {when(rfc3339(state.next_at))} UTC" if state.next_at else "Next run: within a minute")
    return lines


def _last_run(last: RetentionRun, ended: str) -> str:
    if last.outcome == "failed":
        return f"Last run: {ended} UTC, failed. {last.problem}"
    if last.outcome == "nothing":
        return f"Last run: {ended} UTC. No event before {last.month} was left to drop."
    kept = f" {last.export} contains them." if last.export else ""
    return (
        f"Last run: {ended} UTC. {last.events:,} events before {last.month} were dropped.{kept} The SHA-256 of the "
        f"export is {last.export_sha256}."
    )
