"""`authsec audit verify` and its like: whether the journal is as it was sealed, and what to keep to find out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from authsec import strict_json
from authsec.exits import Exit
from authsec.jose import JoseError, PublicKey
from sqlalchemy.exc import DatabaseError

from authsec_server.audit.sealing import exporting, verifying
from authsec_server.audit.sealing.given import Given
from authsec_server.audit.sealing.heads import Head, HeadRefused, Keys, read_head
from authsec_server.audit.sealing.lines import NotAnExport
from authsec_server.audit.sealing.trail import Dropping, Report
from authsec_server.cli.audit_files import Exported, Month, sha256_of
from authsec_server.cli.caller import Caller, admin_command, local_command
from authsec_server.cli.ending import confirm
from authsec_server.cli.in_process import InProcess, Opened
from authsec_server.cli.named_files import read_named
from authsec_server.cli.output import Output, open_output, styled, when
from authsec_server.cli.reach import CallFailed
from authsec_server.db import Database, open_database
from authsec_server.failures import Failure
from authsec_server.web.instants import rfc3339

_MAX_FILE = 64 * 1024
_MAX_HEADS = 1024 * 1024 * 1024  # a head each second of a month
_HOW_KEYS = "Get them from the authority while you trust it, and keep them: authsec audit keys > FILE"
_HOW_HEAD = "A head is the one line that this prints: authsec audit head > FILE"
_NO_EXPORT = "is no sealed export."
_HOW_EXPORT = "One is what this prints, into a file of its own: authsec audit export-sealed > FILE"
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@admin_command
def keys(caller: Caller, output: Output) -> None:
    """Print the public keys that check the seals, to be kept elsewhere."""
    answer = caller.get("events/keys")
    output.result(answer, json.dumps(answer))


@click.command()
@admin_command
def head(caller: Caller, output: Output) -> None:
    """Print the newest signed head of the sealed journal, to be kept elsewhere.

    With one that you kept, `verify` finds a journal that was cut, or written anew as a whole, since then.
    """
    answer = caller.get("events/head")
    its = answer["elsewhere"]
    if its["undelivered_since"]:
        output.note(
            f"The server could send no head elsewhere since {when(its['undelivered_since'])} UTC: {its['problem']}."
        )
    output.result(answer, str(answer["head"]))


def _checking(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command what a check goes by."""
    for option in (
        click.option("--with", "with_files", type=_FILE, multiple=True, help="An export of what was dropped. Repeat."),
        click.option("--head", "head_files", type=_FILE, multiple=True, help="Heads that were kept elsewhere. Repeat."),
        click.option(
            "--key", "key_file", type=_FILE, required=True, help="The public keys that `authsec audit keys` printed."
        ),
    ):
        command = option(command)
    return command


@click.command("verify")
@_checking
@local_command
def verify_journal(
    caller: Caller, output: Output, key_file: Path, head_files: tuple[Path, ...], with_files: tuple[Path, ...]
) -> None:
    """Check, without a server, that the journal in a database is as it was sealed.

    Exit status 0: all is as sealed; events of the last moments may not be sealed yet. 3: something was changed,
    dropped, inserted or reordered, or nothing is sealed. 1: it could not be checked.
    """
    known, ends = _keys(key_file)
    assert isinstance(caller.reach, InProcess)  # a local command's is
    with _opened(caller.reach.settings.database_url) as database, _readable():
        reached = database.read(partial(verifying.keys_of, keys=known))
        kept = [head for path in head_files for head in _kept(path, reached)]
        given = [_given(path) for path in with_files]
        report = database.read(partial(verifying.verify, keys=known, kept=kept, given=given, ends=ends))
    _tell(output, report, kept, with_files)


@click.command("export-sealed")
@local_command
def export_sealed(caller: Caller, output: Output) -> None:  # noqa: ARG001 - it is lines of JSON for everybody
    """Print all that is sealed as lines of JSON, to be checked elsewhere by `verify-export`.

    Each line is an event with its seal, in the order of sealing, or a signed head.
    """
    assert isinstance(caller.reach, InProcess)  # a local command's is
    with _opened(caller.reach.settings.database_url) as database:
        for line in exporting.export(database):
            click.echo(line, nl=False)


@click.command("verify-export")
@click.argument("file", type=_FILE)
@_checking
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def verify_exported(
    file: Path, key_file: Path, head_files: tuple[Path, ...], with_files: tuple[Path, ...], as_json: bool
) -> None:
    """Check what `export-sealed` printed, on any machine. The exit status is as that of `verify`."""
    known, ends = _keys(key_file)
    try:
        with _readable():
            kept = [head for path in head_files for head in _kept(path, exporting.keys_of(Exported(file), known))]
            given = [_given(path) for path in with_files]
            report = exporting.verify_export(Exported(file), known, kept, given, ends)
    except NotAnExport:
        raise CallFailed(f"{file} {_NO_EXPORT}", _HOW_EXPORT) from None
    _tell(open_output(as_json=as_json), report, kept, with_files)


@click.command("rotate-key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@admin_command
def rotate_key(caller: Caller, output: Output, yes: bool) -> None:
    """Replace the key that seals the journal. The present one signs for the new one, which signs from then on.

    Whoever has the old one can then add nothing. Old public keys check across the change; take the new ones as well.
    """
    confirm("Replace the key that seals the audit trail?", yes=yes)
    answer = caller.post("events/keys/rotate")
    output.result(
        answer,
        styled(f"The key {answer['kid']} replaces {answer['replaces']}, once a server has sealed that.", "green"),
        f"Keep the public keys anew: {caller.follow_up('audit', 'keys')} > FILE",
    )


@click.command("drop")
@click.option("--before", type=Month(), required=True, help="All months before this one, e.g. 2026-08.")
@click.option("--export", "file", type=_FILE, required=True, help="What `export-sealed` printed, and you keep.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Check all of it, say how many events would go, and drop nothing.")
@local_command
def drop_months(caller: Caller, output: Output, before: datetime, file: Path, yes: bool, dry_run: bool) -> None:
    """Delete the events of old months, once an export is seen to hold every one of them as it was sealed.

    Their seals stay, so what is left can be proved as before, and an event says what was dropped, by whom, and the
    SHA-256 of the export: `verify --with FILE` checks the dropped ones, too, for as long as you keep it.
    """
    assert isinstance(caller.reach, InProcess)  # a local command's is
    if dry_run:
        _rehearse_dropping(caller.reach, output, before, file)
        return
    confirm(f"Delete all events before {before:%Y-%m}? Then {file} is all that is left of them.", yes=yes)
    with _dropping(caller.reach, file) as opened:
        digest = sha256_of(file)
        record = opened.authority.dropper.drop(opened.act(), before, Exported(file), digest)
    told = {name: getattr(record, name) for name in ("before", "events", "numbers", "by", "export_sha256")}
    output.result(
        told,
        styled(f"{record.events:,} events before {record.before} were dropped.", "green"),
        f"The export has the SHA-256 {record.export_sha256}. Keep it: authsec audit verify --key FILE --with {file}",
    )


def _rehearse_dropping(reach: InProcess, output: Output, before: datetime, file: Path) -> None:
    with _dropping(reach, file) as opened:
        foreseen = opened.authority.dropper.rehearse(opened.act(), before, Exported(file))
    told = {"dry_run": True, **{name: getattr(foreseen, name) for name in ("before", "events", "numbers")}}
    low, high = foreseen.numbers
    output.result(
        told,
        f"Nothing was dropped. All is as it was sealed, and {foreseen.events:,} events before {foreseen.before} would "
        f"go, between event {low} and event {high}. {file} holds each of them.",
    )


@contextmanager
def _dropping(reach: InProcess, file: Path) -> Iterator[Opened]:
    """The authority, for a dropping by this export. Raises `CallFailed` where it is none."""
    with _readable(), reach.kept_open() as opened:
        try:
            yield opened
        except NotAnExport:
            raise CallFailed(f"{file} {_NO_EXPORT}", _HOW_EXPORT) from None


def _tell(output: Output, report: Report, kept: Sequence[Head], given: Sequence[Path]) -> None:
    """Print the report, and end with the exit status that it means."""
    output.result(_as_json(report), *_for_people(report, kept, given))
    if not report.as_sealed:
        click.get_current_context().exit(Exit.FOUND)


def _keys(path: Path) -> tuple[Keys, Mapping[str, int]]:
    """The keys in the file, by their thumbprints: what names it gives them counts for nothing.

    And how many leaves a head of each may have at most, where it says so.
    """
    try:
        listed = strict_json.loads(read_named(path, at_most=_MAX_FILE, remedy=_HOW_KEYS), max_bytes=_MAX_FILE)
        found = {
            PublicKey.from_jwk(each): each.get("heads_up_to") for each in listed["keys"] if each.get("kty") == "OKP"
        }
        ends = {key.thumbprint(): int(end) for key, end in found.items() if end is not None}
    except (strict_json.StrictJsonError, JoseError, KeyError, TypeError, ValueError, AttributeError):
        raise CallFailed(f"{path} does not hold the keys of a sealed journal.", _HOW_KEYS) from None
    if not found:
        raise CallFailed(f"{path} holds no key that seals journals; those of tokens are others.", _HOW_KEYS)
    return {key.thumbprint(): key for key in found}, ends


def _given(path: Path) -> Given:
    """The export in the file."""
    try:
        return Given(str(path), Exported(path))
    except NotAnExport:
        raise CallFailed(f"{path} {_NO_EXPORT}", _HOW_EXPORT) from None


def _kept(path: Path, known: Keys) -> list[Head]:
    """The heads in the file, one a line."""
    lines = read_named(path, at_most=_MAX_HEADS, remedy=_HOW_HEAD).decode("utf-8", "replace").splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found += [read_head(line.strip(), known)] if line.strip() else []
        except HeadRefused as refused:
            at = f"line {number} of " if len(lines) > 1 else ""
            raise CallFailed(f"The head in {at}{path} {refused}.", _HOW_HEAD) from None
    if not found:
        raise CallFailed(f"{path} holds no head.", _HOW_HEAD)
    return found


@contextmanager
def _readable() -> Iterator[None]:
    """Files that are read as they are gone through. Raises `CallFailed`."""
    try:
        yield
    except OSError as error:
        raise CallFailed(f"{error.filename} cannot be read: {error.strerror}.") from None


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    """The database, for reading. Raises `CallFailed` where it cannot be read."""
    with closing(open_database(url)) as database:
        try:
            yield database
        except Failure as failure:
            raise CallFailed(failure.message, failure.remedy) from None
        except DatabaseError as error:  # a file that was damaged, or that is something else
            raise CallFailed(f"The database cannot be read: {type(error.orig).__name__}.") from None


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "as_sealed": report.as_sealed,
        "sealed": report.sealed,
        "not_sealed_yet": report.not_yet,
        "last_head_at": rfc3339(report.last.at) if report.last else None,
        "findings": list(report.findings),
        "more_findings": report.more,
        "dropped": [
            {
                "events": each.missing,
                "numbers": each.record.numbers,
                "before": each.record.before,
                "at": rfc3339(each.record.at),
                "by": each.record.by,
                "export_sha256": each.record.export_sha256,
                "in_files": each.given,
            }
            for each in report.dropped
        ],
    }


def _for_people(report: Report, kept: Sequence[Head], given: Sequence[Path]) -> list[Any]:
    yet = f"; {report.not_yet:,} not sealed yet" if report.not_yet else ""
    events = f"{report.sealed:,} event{'' if report.sealed == 1 else 's'} sealed"
    last = (
        f"The last head was signed at {when(rfc3339(report.last.at))} UTC."
        if report.last
        else ("There is no head that these keys signed.")
    )
    dropped = [_dropped(each, given) for each in report.dropped]
    if report.as_sealed:
        fits = (
            [f"It leads to {'the head' if len(kept) == 1 else f'all {len(kept)} heads'} that you kept."] if kept else []
        )
        return [styled(f"{events}, all as sealed{yet}.", "green"), *dropped, last, *fits]
    more = [f"And {report.more:,} more."] if report.more else []
    return [styled(f"{events}, but not all is as it was sealed:", "red"), *report.findings, *more, *dropped, last]


def _dropped(dropping: Dropping, given: Sequence[Path]) -> str:
    """What is missing by right, and whether files that were given hold it."""
    its = dropping.record
    held = " The files given hold all of them, as they were sealed." if dropping.given else ""
    if given and not held:
        held = " The files given hold none of them."
    return (
        f"Of them {dropping.missing:,}, between event {its.numbers[0]} and event {its.numbers[1]}, were dropped on "
        f"{when(rfc3339(its.at))} UTC by {its.by}, after an export with the SHA-256 {its.export_sha256}.{held}"
    )
