"""`authsec audit verify` and related commands: check the sealed audit log, export it, and replace its key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, Final

import click
from sqlalchemy.exc import DatabaseError

from authsec_server.app import Runtime
from authsec_server.app.served_address import find_event_key, find_mac_problem
from authsec_server.audit.sealing import exporting, verifying
from authsec_server.audit.sealing.checkpoints import Checkpoint, Keys
from authsec_server.audit.sealing.database_check import damage, unopened
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.table_check import NO_MAC
from authsec_server.cli.audit_files import (
    CHECKPOINT_HELP,
    EXPORT_FILE,
    KEYS_FILE,
    OPTION,
    CheckpointFile,
    Exported,
    KeptCheckpoints,
    an_export,
    checkpoints_in,
    in_process,
    read_given,
    read_keys,
    readable,
    sealing_key_option,
)
from authsec_server.cli.audit_report import print_report
from authsec_server.cli.caller import Caller, admin_command, local_command
from authsec_server.cli.caller import dry_run as rehearsed
from authsec_server.cli.confirm import confirm
from authsec_server.cli.local import InProcess, Opened, failed
from authsec_server.cli.output import Output, open_output, styled, when
from authsec_server.cli.transport import CallFailed
from authsec_server.db import Database, Tx, open_database
from authsec_server.failures import Failure, Unavailable
from authsec_server.keys.sealing_key_file import KeyFile, load_sealing_key
from authsec_server.keys.sealing_keys import SETTING, replace_by_file
from authsec_server.settings import ENV_PREFIX, Settings

_FILE = click.Path(path_type=Path, dir_okay=False)
_THERE = click.Path(path_type=Path, dir_okay=False, exists=True)  # checked before the confirmation question
_REPLACE: Final = "Replace the key that seals the audit log?"


@click.command()
@admin_command
@sealing_key_option
def keys(caller: Caller, output: Output) -> None:
    """Print the public keys that verify the seals. Store the keys on another machine.

    The command does not need the private key. If the sealing key is in a file on the server's machine, the command
    checks the list of keys against that file. Without the file, the list comes from the database alone: somebody who
    can write to the database can replace the keys.
    """
    answer = _keys_here(caller.reach, output) if isinstance(caller.reach, InProcess) else caller.get("events/keys")
    output.result(answer, json.dumps(answer))


def _keys_here(reach: InProcess, output: Output) -> dict[str, Any]:
    with reach.session() as opened:
        listed, is_proved = opened.authority.sealing_keyring.read_listed()
    if not is_proved:
        output.note(
            "These keys are not proved, because no sealing key file is set: anybody who can write to the database "
            f"can replace them. To prove the keys: {OPTION} FILE, or {SETTING}=FILE"
        )
    return {"keys": listed}


@click.command()
@admin_command
def checkpoint(caller: Caller, output: Output) -> None:
    """Print the newest signed checkpoint of the sealed audit log. Store the checkpoint on another machine.

    With a stored checkpoint, `verify` finds an audit log that was cut or completely rewritten after the checkpoint was
    signed.
    """
    answer = caller.get("events/checkpoint")
    if answer["overdue"]:
        output.note(
            "Events wait to be sealed: no server seals them, or the audit log is broken. To find out: authsec "
            "audit verify"
        )
    if answer["older"]:
        output.note(
            f"{answer['older']} No token is issued. If a backup was restored: `authsec admin restored` "
            "(docs/backup.md). If not, somebody may have cut the audit log: `authsec audit verify`"
        )
    if answer["not_compared"]:
        output.note(_not_compared(caller, answer["not_compared"]))
    if isinstance(caller.reach, InProcess):  # only a server sends checkpoints, and none answered
        answer["elsewhere"] = None
    its = answer["elsewhere"]
    if its and its["undelivered_since"]:
        output.note(
            f"The server could send no checkpoint since {when(its['undelivered_since'])} UTC: {its['problem']}."
        )
    output.result(answer, str(answer["checkpoint"]))


def _not_compared(caller: Caller, why: str) -> str:
    """Describe why the database was not compared with the checkpoints that are stored outside it.

    Without the comparison, nobody can say whether the database is older than these checkpoints.
    """
    if not isinstance(caller.reach, InProcess):
        return f"The server did not compare its database with outside checkpoints: {why}."
    told = f"The database was not compared with outside checkpoints, and may be older than the checkpoints: {why}."
    return f"{told} Set the file of these checkpoints: {ENV_PREFIX}AUDIT_CHECKPOINTS=FILE"


def _checking(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a verification: keys, checkpoints and exports of dropped events."""
    for option in (
        click.option(
            "--with",
            "with_files",
            type=_FILE,
            multiple=True,
            help="File with an export of dropped events, from `authsec audit export-sealed` before the drop, e.g. "
            "until-august.jsonl. Can be repeated.",
        ),
        click.option(
            "--checkpoint",
            "checkpoint_files",
            type=_FILE,
            multiple=True,
            help=CHECKPOINT_HELP,
        ),
        click.option(
            "--key",
            "key_file",
            type=KEYS_FILE,
            required=True,
            help="File with the public keys that `authsec audit keys` printed, e.g. authsec-audit-keys.json.",
        ),
    ):
        command = option(command)
    return command


@click.command("verify")
@_checking
@click.option(
    "--deep",
    is_flag=True,
    help="Check PostgreSQL's indexes completely. This blocks writes to the tables: use it on a restored copy, or "
    "while no server runs.",
)
@local_command
def verify_database(
    caller: Caller,
    output: Output,
    key_file: Path,
    checkpoint_files: tuple[Path, ...],
    with_files: tuple[Path, ...],
    deep: bool,
) -> None:
    """Verify the audit log in a database against its seals. No server is needed.

    Exit status 0: all events match their seals. The newest events may not be sealed yet.

    Exit status 3: an event was changed, dropped, inserted or reordered. Or an index or a count would mislead
    readers. Exit status 3 also means that nothing is sealed, or that none of the keys has signed a checkpoint.

    Exit status 6: a part was not verified. The message says what is missing: the export of dropped events,
    permissions, a server that seals the waiting events, or another version of this command.

    Exit status 1: the audit log could not be verified.

    docs/tampering.md says what to do now, for each exit status.
    """
    known, ends = read_keys(key_file)
    assert isinstance(caller.reach, InProcess)  # always true for a local command
    settings, kept = caller.reach.settings, KeptCheckpoints()
    url, no_key = settings.database_url, None

    # Read the files before the database: a server could append a checkpoint that is newer than the read database.
    files = [CheckpointFile.read(path) for path in checkpoint_files]

    def read_kept(reached: Keys) -> Sequence[Checkpoint]:
        nonlocal kept
        kept = checkpoints_in(files, reached)
        return kept.checkpoints

    with _opened(url) as database, readable():

        def event_key(tx: Tx) -> bytes | None:
            nonlocal no_key
            key, no_key = find_event_key(tx, settings, database)
            return key

        try:
            check = partial(
                verifying.verify,
                keys=known,
                kept=read_kept,
                given=[read_given(path) for path in with_files],
                ends=ends,
                now=Runtime().now(),
                deep=deep,
                find_event_key=event_key,
            )
            report = _with_macs(database.check(check), settings, database, no_key)
        except (Unavailable, DatabaseError):
            damaged = _damaged(url)
            if damaged is None:
                raise
            report = damaged
    print_report(output, report, kept, with_files)


def _with_macs(report: Report, settings: Settings, database: Database, no_key: str | None) -> Report:
    """Add to the report that the address of the server has no valid MAC. That needs the master key on this machine.

    `no_key` says why the MACs of events were not checked, although a master key is on this machine.
    """
    found = [no_key] if no_key else []
    if report.as_sealed and NO_MAC not in report.skipped:
        found += filter(None, [database.check(lambda tx: find_mac_problem(tx, settings, database))])
    return replace(report, unchecked=(*report.unchecked, *found), skipped=(*report.skipped, *found))


def _damaged(url: str) -> Report | None:
    """Return a report on the damage that the database reports, or None.

    The function opens a fresh connection, because the failed connection can read nothing more.
    """
    found: list[Report | None] = []
    with closing(open_database(url)) as database:
        with suppress(Unavailable, DatabaseError):  # closing the database may fail, too
            database.check(lambda tx: found.append(damage(tx)))
        if not found and database.damaged:
            return unopened(database.damaged)
    return found[0] if found else None


@click.command("export-sealed")
@local_command
def export_sealed(caller: Caller, output: Output) -> None:  # noqa: ARG001 - always JSON Lines
    """Print the whole sealed audit log as JSON Lines, to verify on another machine with `verify-export`.

    Each line is an event with its seal, in the order of sealing, or a signed checkpoint.
    """
    assert isinstance(caller.reach, InProcess)  # always true for a local command
    with _opened(caller.reach.settings.database_url) as database:
        for line in exporting.export(database):
            click.echo(line, nl=False)


@click.command("verify-export")
@click.argument("file", type=EXPORT_FILE)
@_checking
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def verify_exported(
    file: Path, key_file: Path, checkpoint_files: tuple[Path, ...], with_files: tuple[Path, ...], as_json: bool
) -> None:
    """Verify the output of `export-sealed`, on any machine. The exit status is the same as for `verify`."""
    known, ends = read_keys(key_file)
    with readable(), an_export(file):
        files = [CheckpointFile.read(path) for path in checkpoint_files]
        kept = checkpoints_in(files, exporting.keys_of(Exported(file), known) if files else {})
        given = [read_given(path) for path in with_files]
        report = exporting.verify_export(Exported(file), known, kept.checkpoints, given, ends, now=Runtime().now())
    print_report(open_output(as_json=as_json), report, kept, with_files)


@click.command("rotate-key")
@click.option(
    "--key-file",
    type=_THERE,
    help="File with the new key, on the server's machine. Needs --data. The key stays in the file.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Show which key would be replaced, and change nothing.")
@admin_command
@sealing_key_option
def rotate_key(caller: Caller, output: Output, key_file: Path | None, yes: bool, dry_run: bool) -> None:
    """Replace the key that seals the audit log. The old key signs the new key.

    From then on, only the new key signs: somebody who has the old key can add nothing to the audit log. The old
    public keys verify the audit log before and after the change. Store the new public keys as well.
    """
    if key_file is not None:
        _replace_by_file(in_process(caller, "--key-file"), caller, output, key_file, yes=yes, dry_run=dry_run)
        return
    if dry_run or not yes:  # refuse before asking for confirmation
        before = caller.post(rehearsed("events/keys/rotate"))["would_answer"]["replaces"]
    if dry_run:
        _tell_rehearsed(output, None, before, "a new key in the database")
        return
    confirm(_REPLACE, yes=yes)
    answer = caller.post("events/keys/rotate")
    output.result(
        answer,
        styled(
            f"The key {answer['kid']} replaces {answer['replaces']}, after a server has sealed the replacement.",
            "green",
        ),
        f"Save the public keys again: {caller.follow_up('audit', 'keys')} > FILE",
    )


def _replace_by_file(
    reach: InProcess, caller: Caller, output: Output, key_file: Path, *, yes: bool, dry_run: bool
) -> None:
    try:
        new = load_sealing_key(key_file)  # before the confirmation question
    except Failure as failure:
        raise failed(failure) from None
    if dry_run or not yes:  # refuse before asking for confirmation
        with _rotating(reach, new) as opened:
            its = opened.authority
            kid, before = its.database.rehearse(
                lambda tx: its.sealing_keyring.replace(tx, opened.act(), issuer=its.issuer, rehearsed=True, file=new)
            )
    if dry_run:
        _tell_rehearsed(output, kid, before, f"{kid} in {key_file}")
        return
    named = f"{SETTING}={quote(str(key_file.absolute()))}"  # servers may run in another working folder
    output.note(f"Every server of this database must then be restarted with {named}")
    output.note("From then on, a server without this setting seals nothing, and cannot restart.")
    confirm(_REPLACE, yes=yes)
    with _rotating(reach, new) as opened:
        its = opened.authority
        kid, before = replace_by_file(
            its.database, its.sealing_keyring, its.dropper.sealer, opened.act(), issuer=its.issuer, file=new
        )
    output.result(
        {"kid": kid, "replaces": before},
        styled(f"The key {kid} has replaced {before}, and the replacement is sealed.", "green"),
        f"1. Restart every server with {named}",
        f"2. Save the public keys again: {named} {caller.follow_up('audit', 'keys')} > FILE",
    )


def _tell_rehearsed(output: Output, kid: str | None, before: str, new: str) -> None:
    output.result(
        {"dry_run": True, "kid": kid, "replaces": before},
        "Nothing was changed. This would happen:",
        f"  sealing key replaced: {before} → {new}",
    )


@contextmanager
def _rotating(reach: InProcess, new: KeyFile) -> Iterator[Opened]:
    """Open the authority with the current sealing key. Raises `CallFailed`."""
    try:
        named = reach.settings.sealing_key_file
        if named is not None and load_sealing_key(named).kid == new.kid:  # already set, for the next start
            reach = InProcess(settings=reach.settings.model_copy(update={"sealing_key_file": None}))
        with reach.session() as opened:
            opened.refuse_if_older()
            yield opened
    except Failure as failure:
        raise failed(failure) from None


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    """Open the database for reading. Raises `CallFailed` if the database cannot be read."""
    with closing(open_database(url)) as database:
        try:
            yield database
        except Failure as failure:
            raise CallFailed(failure.message, failure.remedy) from None
        except DatabaseError as error:  # a damaged file, or not a database
            raise CallFailed(f"The database cannot be read: {type(error.orig).__name__}.") from None
