"""`authsec admin restored`: record that the database came from a backup, so that the authority issues again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from authsec_server.app.restoration import Restored, open_restoration
from authsec_server.audit.sealing.outside import last_lines
from authsec_server.cli.caller import Caller, local_command
from authsec_server.cli.ending import confirm
from authsec_server.cli.in_process import InProcess, errors_only, failed
from authsec_server.cli.output import Output, styled, when
from authsec_server.cli.reach import CallFailed
from authsec_server.cli.sealing_key import sealing_key_option
from authsec_server.failures import Failure
from authsec_server.settings import ENV_PREFIX, Settings
from authsec_server.web.instants import rfc3339

MOST_BYTES = 256 * 1024 * 1024  # of each file, its end: a head each second of five days
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("restored")
@click.option("--head", "files", type=_FILE, multiple=True, help="Heads that were kept elsewhere. Repeat.")
@click.option("--signing-key", "kids", metavar="KID", multiple=True, help="A further key to revoke. Repeat.")
@click.option("--disable", "agents", metavar="AGENT", multiple=True, help="An agent that gets no token. Repeat.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@local_command
@sealing_key_option
def restored(
    caller: Caller, output: Output, files: tuple[Path, ...], kids: tuple[str, ...], agents: tuple[str, ...], yes: bool
) -> None:
    """Record that this database was restored from a backup.

    Every token that was issued before ends, every signing key is replaced, and APIs that follow revocations accept
    new tokens at once. Administrators sign in again. A server that waits for this goes on within seconds.
    """
    assert isinstance(caller.reach, InProcess)  # a local command's is
    settings = caller.reach.settings
    lines = [line for file in _heads(settings, files) for line in _lines(file)]
    confirm("Was this database restored from a backup? All tokens end, and all signing keys are replaced.", yes=yes)
    try:
        with errors_only(), open_restoration(settings) as restoration:
            lost = restoration.lost(lines)
            done = restoration.record(lost, also=kids, disable=agents)
    except Failure as failure:
        raise failed(failure) from None
    output.result(_as_json(done), *_for_people(done, lines))


def _heads(settings: Settings, named: Sequence[Path]) -> list[Path]:
    """The files that are named, and the one that the server appends to."""
    its = settings.audit_heads
    own = [Path(its)] if its and "://" not in its and Path(its).exists() else []
    return [*named, *(each for each in own if each not in named)]


def _lines(file: Path) -> Sequence[str]:
    found = last_lines(file, MOST_BYTES)
    if found.unread or not file.exists():
        raise CallFailed(f"{found.unread or f'There is no file {file}'}.", "Name a file with heads: --head FILE.")
    return found.lines


def _as_json(done: Restored) -> dict[str, Any]:
    newest = done.lost.newest
    return {
        "version_before": done.version_before,
        "authority_version": done.authority_version,
        "revoked_keys": list(done.revoked),
        "revoked_keys_of_the_lost_time": list(done.revoked_unknown),
        "disabled": list(done.disabled),
        "newest_head_at": rfc3339(newest.at) if newest else None,
    }


def _for_people(done: Restored, lines: Sequence[str]) -> list[Any]:
    newest = done.lost.newest
    count = len(done.revoked) + len(done.revoked_unknown)
    said = [
        styled(
            f"Recorded. The authority version is {done.authority_version:,}; it was {done.version_before:,}.", "green"
        ),
        f"{count} signing keys are revoked: every token from before has ended.",
    ]
    if newest:
        said.append(f"The newest outside head was signed at {when(rfc3339(newest.at))} UTC.")
    elif lines:
        said.append("No head in these files is signed by a key of this database.")
    else:
        said.append(
            f"No outside heads were read. Name them if there are any: --head FILE, or {ENV_PREFIX}AUDIT_HEADS. A"
            " signing key that was made after the backup is not revoked otherwise."
        )
    said += [f"{slug} is disabled." for slug in done.disabled]
    return [
        *said,
        "Changes after the backup are lost. Repeat them: agents made or disabled, delegations revoked, admin keys"
        " revoked, people removed. See docs/backup.md.",
        "Keep the old file of outside heads, and give the server a new one.",
    ]
