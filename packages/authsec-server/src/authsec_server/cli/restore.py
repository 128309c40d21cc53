"""`authsec admin restored`: record that the database was restored from a backup, so that tokens are issued again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from authsec.exit_status import Exit

from authsec_server.app.restoration import Restoration, Restored, RestoreEvidence, open_restoration
from authsec_server.audit.sealing.checkpoint_file import last_lines
from authsec_server.audit.sealing.checkpoints import shown_time
from authsec_server.audit.sealing.outside import unverified
from authsec_server.audit.sealing.restore_loss import Loss
from authsec_server.audit.sealing.restores import Restore
from authsec_server.cli.audit_files import CHECKPOINT_HELP, no_checkpoint, sealing_key_option
from authsec_server.cli.caller import Caller, local_command
from authsec_server.cli.confirm import confirm, print_impact
from authsec_server.cli.local import InProcess, errors_only, failed
from authsec_server.cli.output import Output, styled, when
from authsec_server.cli.transport import CallFailed
from authsec_server.failures import Failure
from authsec_server.settings import ENV_PREFIX
from authsec_server.web.instants import rfc3339

MOST_BYTES = 256 * 1024 * 1024  # read from the end of each file: five days of one checkpoint a second
_ISSUER = re.compile(r"[!-~]{1,200}")  # nobody has verified these texts
_FILE = click.Path(path_type=Path, dir_okay=False)
_EXAMPLE = "--checkpoint /mnt/elsewhere/checkpoints.txt"
_QUESTION = "Was this database restored from a backup? This revokes all tokens and replaces all signing keys."


@click.command("restored")
@click.option(
    "--checkpoint",
    "files",
    type=_FILE,
    multiple=True,
    help=CHECKPOINT_HELP,
)
@click.option(
    "--other-authority",
    "others",
    metavar="ISSUER",
    multiple=True,
    help="Issuer of another authority that appends checkpoints to the same file: ignore its checkpoints. Can be "
    "repeated.",
)
@click.option(
    "--signing-key", "kids", metavar="KID", multiple=True, help="Id of another signing key to revoke. Can be repeated."
)
@click.option("--disable", "agents", metavar="AGENT", multiple=True, help="An agent to disable. Can be repeated.")
@click.option(
    "--again", is_flag=True, help="Record a restore even if one is already recorded and nothing has changed since."
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Show what would change and what would stop, and change nothing.")
@local_command
@sealing_key_option
def restored(
    caller: Caller,
    output: Output,
    files: tuple[Path, ...],
    others: tuple[str, ...],
    kids: tuple[str, ...],
    agents: tuple[str, ...],
    again: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Record that this database was restored from a backup.

    The command revokes all tokens that were issued until now, and replaces every signing key. APIs that follow
    revocations accept new tokens at once. Administrators must sign in again. A server that waits for this command
    continues within seconds.

    First the command compares the database with the checkpoints, and says what is newer. If no backup was restored,
    answer no: a record revokes all tokens and sessions.
    """
    assert isinstance(caller.reach, InProcess)  # always true for a local command
    lines = [line for file in files for line in _checkpoints_in(file)]
    try:
        with errors_only(), open_restoration(caller.reach.settings, others=others) as restoration:
            lines += _servers_lines(restoration, files)
            last, is_up_to_date = restoration.last_restore(lines)
            if last and is_up_to_date and not again:
                _say_declared(output, last, lines, is_more_wanted=bool(kids or agents))
                return
            evidence, lost = restoration.evidence(lines), restoration.lost(lines)
            if not output.as_json:
                for sentence in (*_compared(evidence, is_any_read=bool(lines)), *_of_unknown_keys(lost)):
                    output.note(sentence)
            if dry_run or not yes:
                done, foreseen = restoration.rehearse(lost, also=kids, disable=agents)
            if dry_run:
                told = _as_json(done, evidence) | {"dry_run": True, "would_stop": foreseen.would_stop}
                output.result(told, "Nothing was changed. This would happen:", *_foreseen(done), *_about(lost, lines))
                if not output.as_json:
                    print_impact(caller, output, told)
                return
            if not yes:
                if last:
                    output.note(f"{_declared(last)} Continue only if a backup was restored again.")
                print_impact(caller, output, {"would_stop": foreseen.would_stop})
            confirm(_QUESTION, yes=yes)
            done = restoration.record(lost, also=kids, disable=agents)
    except Failure as failure:
        raise failed(failure) from None
    output.result(_as_json(done, evidence), *_for_people(done, lines))


def _checkpoints_in(file: Path) -> Sequence[str]:
    """Read the lines of a named file. Raises `CallFailed` if none of the lines is a checkpoint."""
    found = last_lines(file, MOST_BYTES)
    if found.unread or not file.exists():
        raise CallFailed(
            f"{found.unread or f'The file {file} does not exist'}.",
            f"Give a file with checkpoints, for example {_EXAMPLE}",
        )
    if not any(unverified(line.strip())[0] for line in found.lines):
        raise no_checkpoint(file, found.lines)
    return found.lines


def _servers_lines(restoration: Restoration, named: Sequence[Path]) -> Sequence[str]:
    """Read the lines of the checkpoints file that the server appends to. Return none if `named` has this file.

    Raises `CallFailed`.
    """
    own = restoration.checkpoints_file()
    if own is None or own.absolute() in {file.absolute() for file in named}:
        return []
    found = last_lines(own, MOST_BYTES)
    if found.unread:
        raise CallFailed(f"{found.unread}.", "The server appends its checkpoints to this file. Make the file readable.")
    return found.lines


def _declared(last: Restore) -> str:
    at = when(rfc3339(last.at))
    return f"A restore of this database was already recorded at {at} UTC, at version {last.authority_version:,}."


def _say_declared(output: Output, last: Restore, lines: Sequence[str], *, is_more_wanted: bool) -> None:
    """Report that a restore is recorded already and nothing was changed.

    Raises `CallFailed` if the command also names keys to revoke or agents to disable.
    """
    newer = (
        "No checkpoint that was read is newer than the database"
        if lines
        else "Nothing has changed since the restore, and no outside checkpoints were read"
    )
    again = "If a backup was restored again after that, add --again."
    if is_more_wanted:
        raise CallFailed(
            f"{_declared(last)} {newer}. Nothing was done.",
            f"To disable an agent: authsec agents disable AGENT. {again}",
            exit_code=Exit.CONFLICT,
        )
    told = {
        "already_restored": True,
        "restored_at": rfc3339(last.at),
        "version_before": last.version_before,
        "authority_version": last.authority_version,
    }
    output.result(told, f"{_declared(last)} {newer}.", f"Nothing was changed. {again}")


def _compared(evidence: RestoreEvidence, *, is_any_read: bool) -> list[str]:
    """Describe the last checkpoint of the database, the newest outside checkpoint, and what follows.

    `is_any_read` is whether the lines of any file with outside checkpoints were read.
    """
    newest, version = evidence.newest, evidence.authority_version
    own = _checkpoint_text(evidence.sealed, evidence.signed_at) if evidence.signed_at else "none"
    outside = _checkpoint_text(newest.size, newest.at) if newest else "none"
    at_version = f"; authority version {newest.authority_version:,}" if newest and newest.authority_version else ""
    facts = [
        f"Last checkpoint in the database: {own}; authority version {version:,}.",
        f"Newest outside checkpoint: {outside}{at_version}.",
    ]
    if evidence.problem:
        return [*facts, evidence.problem]
    unknown = "If a backup was restored, record the restore: changes after the backup may be missing."
    if newest is None:
        why = "is signed by a key of this database" if is_any_read else "was read"
        return [*facts, f"No outside checkpoint {why}, so nothing shows whether the database is older. {unknown}"]
    return [
        *facts,
        "No outside checkpoint is newer than the database, so nothing shows that a backup was restored. If no backup "
        f"was restored, record nothing: a record ends all tokens and sessions. {unknown}",
    ]


def _of_unknown_keys(lost: Loss) -> list[str]:
    """Name the issuers in checkpoints that no key of this database signed. They may be another authority's."""
    if not lost.unknown_keys:
        return []
    named = ", ".join(each for each in sorted(lost.unknown_issuers)[:5] if _ISSUER.fullmatch(each)) or "no address"
    return [
        f"Checkpoints that no key of this database signed name {named}. The restore takes these for its own. "
        "If they are another authority's: --other-authority ISSUER"
    ]


def _checkpoint_text(size: int, at: datetime) -> str:
    return f"{'1 event' if size == 1 else f'{size:,} events'}, signed at {shown_time(at)}"


def _as_json(done: Restored, evidence: RestoreEvidence) -> dict[str, Any]:
    newest = done.lost.newest
    return {
        "already_restored": False,
        "older": evidence.problem,
        "sealed": evidence.sealed,
        "last_checkpoint_at": rfc3339(evidence.signed_at),
        "version_before": done.version_before,
        "authority_version": done.authority_version,
        "revoked_keys": list(done.revoked),
        "revoked_keys_of_the_lost_time": list(done.revoked_unknown),
        "disabled": list(done.disabled),
        "newest_checkpoint_at": rfc3339(newest.at) if newest else None,
    }


def _foreseen(done: Restored) -> list[str]:
    lost = [f"  signing key from the lost period revoked: {kid}" for kid in done.revoked_unknown]
    return [
        f"  authority version raised: {done.version_before:,} → {done.authority_version:,}",
        *(f"  signing key revoked: {kid}" for kid in done.revoked),
        *lost,
        "  signing keys created: 2",
        "  revocation feed: a new epoch, each follower gets a complete snapshot",
        "  sessions, one-time links and enrolment codes: all revoked",
        *(f"  agent disabled: {slug}" for slug in done.disabled),
    ]


def _for_people(done: Restored, lines: Sequence[str]) -> list[Any]:
    count = len(done.revoked) + len(done.revoked_unknown)
    keys = "1 signing key is" if count == 1 else f"{count} signing keys are"
    keep = ["Keep the old file of outside checkpoints, and set a new file on the server."] if lines else []
    return [
        styled(
            f"The restore is recorded. The authority version was raised from {done.version_before:,} to "
            f"{done.authority_version:,}.",
            "green",
        ),
        f"{keys} revoked, and so are all earlier tokens.",
        *_about(done.lost, lines),
        *(f"{slug} is disabled." for slug in done.disabled),
        "Changes after the backup are lost. Make them again: agents created or disabled, delegations revoked, "
        "admin keys revoked, people removed. See docs/backup.md.",
        *keep,
    ]


def _about(lost: Loss, lines: Sequence[str]) -> list[str]:
    """Describe the newest checkpoint that is stored outside the database, or why there is none."""
    if lost.newest:
        return [f"The newest outside checkpoint was signed at {when(rfc3339(lost.newest.at))} UTC."]
    if lost.unknown_keys:
        return [
            (
                "The outside checkpoints are signed by a sealing key that this database lacks: the database is "
                "older than that key."
            )
        ]
    if lines:
        return ["No checkpoint in these files is signed by a key of this database."]
    return [
        (
            f"No outside checkpoints were read. Name a file of checkpoints: {_EXAMPLE}, or "
            f"{ENV_PREFIX}AUDIT_CHECKPOINTS. Without checkpoints, signing keys that were created after the backup are "
            "not revoked."
        )
    ]
