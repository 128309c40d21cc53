"""The report of a verification of the sealed audit log, as text for people and JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from authsec.exit_status import Exit

from authsec_server.audit.sealing.drops import Drop
from authsec_server.audit.sealing.log_check import RecordedRestore, Report
from authsec_server.cli.audit_files import KeptCheckpoints, readable, sha256_of
from authsec_server.cli.output import Output, styled, when
from authsec_server.web.instants import rfc3339

_WHAT_NOW: Final = "What to do now: docs/tampering.md"
LATE_TOLD: Final = 20  # the newest groups of late events; earlier reports listed the older groups


def print_report(output: Output, report: Report, kept: KeptCheckpoints, given: Sequence[Path]) -> None:
    """Print the report, and exit with the exit status that fits the report."""
    report = kept.and_these(report)
    for sentence in kept.torn:
        output.note(sentence)
    if not report.is_checked and not report.findings:
        answer = _as_json(report, frozenset()) | {"as_sealed": None}
        output.result(answer, *(styled(sentence, "yellow") for sentence in report.skipped))
        output.note(_WHAT_NOW)
        click.get_current_context().exit(Exit.NOT_CHECKED)
    checkpoints = {"checked": len(kept.checkpoints), "lines_without_checkpoint": kept.lines}
    with readable():
        digests = frozenset(map(sha256_of, given if report.dropped else ()))
    output.result(
        _as_json(report, digests) | {"checkpoints": checkpoints}, *_for_people(report, len(kept.checkpoints), digests)
    )
    if not report.as_sealed:
        output.note(_WHAT_NOW)
        click.get_current_context().exit(Exit.FOUND)
    if report.not_checkable:
        output.note(f"{report.not_checkable:,} dropped events could not be checked. Give their export: --with FILE")
    others = _of_other_exports(report, digests)
    for each in others:
        output.note(
            f"Events before {each.record.before} were dropped, and no given file has the SHA-256 in the record of "
            "this drop. Somebody who stole the sealing key may have signed the record. Give the export with the "
            f"SHA-256 {each.record.export_sha256}: --with FILE"
        )
    if report.skipped:
        output.note(
            "Not everything was checked, so a change may be undetected. Follow the report above, then verify again."
        )
    if report.not_checkable or report.skipped or others:
        output.note(_WHAT_NOW)
        click.get_current_context().exit(Exit.NOT_CHECKED)


def _as_json(report: Report, digests: Set[str]) -> dict[str, Any]:
    return {
        "as_sealed": report.as_sealed,
        "sealed": report.sealed,
        "not_sealed_yet": report.not_yet,
        "waiting_since": rfc3339(report.waiting_since) if report.waiting_since else None,
        "last_checkpoint_at": rfc3339(report.last.at) if report.last else None,
        "findings": list(report.findings),
        "more_findings": report.more,
        "not_checkable": report.not_checkable,
        "dropped": [
            {
                "events": each.missing,
                "numbers": each.record.numbers,
                "before": each.record.before,
                "at": rfc3339(each.record.at),
                "by": each.record.by,
                "export_sha256": each.record.export_sha256,
                "in_files": each.given,
                "export_is_given": each.record.export_sha256 in digests,
            }
            for each in report.dropped
        ],
        "unchecked": list(report.unchecked),
        "skipped": list(report.skipped),
        "restores": [
            {
                "at": rfc3339(each.record.at),
                "version_before": each.record.version_before,
                "authority_version": each.record.authority_version,
                "sealed": each.record.size,
                "checkpoint_at": rfc3339(each.checkpoint_at),
            }
            for each in report.restores
        ],
        "sealed_late": [
            {
                "events": each.events,
                "numbers": [each.first, each.last],
                "oldest": rfc3339(datetime.fromisoformat(each.oldest)),
                "sealed_at": rfc3339(each.sealed_at),
            }
            for each in report.late
        ],
        "more_sealed_late": report.more_late,
    }


def _for_people(report: Report, kept: int, digests: Set[str]) -> list[Any]:
    yet = f"; {report.not_yet:,} not sealed yet" if report.not_yet else ""
    if report.waiting_since:
        yet += f", the first since {when(rfc3339(report.waiting_since))} UTC: no server seals"
    events = f"{report.sealed:,} event{'' if report.sealed == 1 else 's'} sealed"
    last = (
        f"The last checkpoint was signed at {when(rfc3339(report.last.at))} UTC."
        if report.last
        else ("There is no checkpoint that these keys signed.")
    )
    dropped = [
        *(_dropped(each, digests) for each in report.dropped),
        *map(_restored, report.restores),
        *_late(report),
        *report.unchecked,
    ]
    checkpoints = "the checkpoint" if kept == 1 else f"all {kept:,} checkpoints"
    if report.as_sealed:
        fits = [f"The log matches {checkpoints} that you kept."] if kept else []
        if report.skipped or _of_other_exports(report, digests):
            return [styled(f"{events}, and no problem was found{yet}.", "yellow"), *dropped, last, *fits]
        return [styled(f"{events}, and all match their seals{yet}.", "green"), *dropped, last, *fits]
    compared = [f"The log was compared with {checkpoints} that you kept."] if kept else []
    more = [f"And {report.more:,} more."] if report.more else []
    if report.sealed and report.last is None:
        why = "no checkpoint is signed by these keys: the keys are another authority's, or somebody else wrote the log."
        if not report.has_checkpoints:
            why = "there is no checkpoint: the audit log or its export was cut."
        return [styled(f"{events}, but {why}", "red"), *report.findings, *more, *dropped, *compared]
    found = styled(f"{events}, but not everything matches the seals:", "red")
    return [found, *report.findings, *more, *dropped, last, *compared]


def _restored(restore: RecordedRestore) -> str:
    """Describe a recorded restore: the time, the authority version and the lost events."""
    its = restore.record
    before = f"raised from {its.version_before:,} to " if its.version_before is not None else "raised to "
    lost = "Events after the backup are lost."
    if its.size:
        signed = f", signed at {when(rfc3339(restore.checkpoint_at))} UTC" if restore.checkpoint_at else ""
        lost = f"Events after the backup are lost: the backup's last checkpoint covers {its.size:,} events{signed}."
    return f"Restored at {when(rfc3339(its.at))} UTC: authority version {before}{its.authority_version:,}. {lost}"


def _late(report: Report) -> Iterator[str]:
    """Yield sentences on events that were sealed more than 15 minutes after the time in the event."""
    before, told = report.late[:-LATE_TOLD], report.late[-LATE_TOLD:]
    for each in told:
        oldest, sealed_at = when(rfc3339(datetime.fromisoformat(each.oldest))), when(rfc3339(each.sealed_at))
        if each.events == 1:
            what, why = f"Event {each.first}, of {oldest} UTC, was", "it was"
        else:
            what = f"{each.events:,} events from {each.first} to {each.last}, the oldest of {oldest} UTC, were"
            why = "they were"
        yield (
            f"{what} sealed only at {sealed_at} UTC. Either no server sealed events before, or {why} dated back, "
            "or checkpoints were deleted."
        )
    if events := report.more_late + sum(each.events for each in before):
        were = "1 event was" if events == 1 else f"{events:,} events were"
        yield (
            f"Before these events, {were} sealed more than 15 minutes after the recorded time. With --json, "
            "verify lists these events."
        )


def _of_other_exports(report: Report, digests: Set[str]) -> list[Drop]:
    """Return the drops whose events are in the given files, but whose recorded export is not among the files.

    `digests` has the SHA-256 of each given file. The record of a drop has the SHA-256 of the export before the
    drop.

    The attack: somebody who stole the sealing key changes the tables, and drops one event that an honest export
    contains. The forged record of this drop has the digests of the changed tables, so the change would go unnoticed.
    """
    complete = (
        each for each in report.dropped if each.given == each.missing
    )  # of others, the report asks for the export
    return [each for each in complete if each.record.export_sha256 not in digests]


def _dropped(drop: Drop, digests: Set[str]) -> str:
    """Describe a drop of events, and whether the given files contain the dropped events.

    `digests` has the SHA-256 of each given file.
    """
    its = drop.record
    held = " The given files contain all of these events, and the events match their seals."
    if drop.given < drop.missing:
        some = f"only {drop.given:,}" if drop.given else "none"
        held = f" The given files contain {some} of these events." if digests else ""
    elif its.export_sha256 not in digests:  # another export has the same events, or the record is forged
        held += " No given file has that SHA-256."
    return (
        f"Of these events, {drop.missing:,} between event {its.numbers[0]} and event {its.numbers[1]} were "
        f"dropped on {when(rfc3339(its.at))} UTC by {its.by}, after an export with the SHA-256 "
        f"{its.export_sha256}.{held}"
    )
