"""`authsec audit verify` and its like: whether the journal is as it was sealed, and what to keep to find out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from authsec import strict_json
from authsec.exits import Exit
from authsec.jose import JoseError, PublicKey
from sqlalchemy.exc import DatabaseError

from authsec_server.audit.sealing.exporting import NotAnExport, export, verify_export
from authsec_server.audit.sealing.heads import Head, HeadRefused, Keys, read_head
from authsec_server.audit.sealing.trail import Report
from authsec_server.audit.sealing.verifying import verify
from authsec_server.cli.caller import Caller, admin_command, local_command
from authsec_server.cli.in_process import InProcess
from authsec_server.cli.named_files import read_named
from authsec_server.cli.output import Output, open_output, styled, when
from authsec_server.cli.reach import CallFailed
from authsec_server.db import Database, open_database
from authsec_server.failures import Failure
from authsec_server.web.instants import rfc3339

_MAX_FILE = 64 * 1024
_MAX_LINE = 4 * 1024 * 1024  # far beyond any event's
_HOW_KEYS = "Get them from the authority while you trust it, and keep them: authsec audit keys > FILE"
_HOW_HEAD = "A head is the one line that this prints: authsec audit head > FILE"
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
    output.result(answer, str(answer["head"]))


@click.command("verify")
@click.option("--key", "key_file", type=_FILE, required=True, help="The public keys that `authsec audit keys` printed.")
@click.option("--head", "head_files", type=_FILE, multiple=True, help="A head that was kept elsewhere. Repeat.")
@local_command
def verify_journal(caller: Caller, output: Output, key_file: Path, head_files: tuple[Path, ...]) -> None:
    """Check, without a server, that the journal in a database is as it was sealed.

    Exit status 0: all is as sealed; events of the last moments may not be sealed yet. 3: something was changed,
    dropped, inserted or reordered, or nothing is sealed. 1: it could not be checked.
    """
    known = _keys(key_file)
    kept = [_kept(path, known) for path in head_files]
    assert isinstance(caller.reach, InProcess)  # a local command's is
    with _opened(caller.reach.settings.database_url) as database:
        report = database.read(partial(verify, keys=known, kept=kept))
    _tell(output, report, kept)


@click.command("export-sealed")
@local_command
def export_sealed(caller: Caller, output: Output) -> None:  # noqa: ARG001 - it is lines of JSON for everybody
    """Print all that is sealed as lines of JSON, to be checked elsewhere by `verify-export`.

    Each line is an event with its seal, in the order of sealing, or a signed head.
    """
    assert isinstance(caller.reach, InProcess)  # a local command's is
    with _opened(caller.reach.settings.database_url) as database:
        for line in export(database):
            click.echo(line, nl=False)


@click.command("verify-export")
@click.argument("file", type=_FILE)
@click.option("--key", "key_file", type=_FILE, required=True, help="The public keys that `authsec audit keys` printed.")
@click.option("--head", "head_files", type=_FILE, multiple=True, help="A head that was kept elsewhere. Repeat.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def verify_exported(file: Path, key_file: Path, head_files: tuple[Path, ...], as_json: bool) -> None:
    """Check what `export-sealed` printed, on any machine. The exit status is as that of `verify`."""
    known = _keys(key_file)
    kept = [_kept(path, known) for path in head_files]
    try:
        with file.open(encoding="ascii", errors="replace", newline="\n") as lines:
            report = verify_export(iter(partial(lines.readline, _MAX_LINE), ""), known, kept)
    except NotAnExport:
        raise CallFailed(f"{file} is no sealed export.", f"Make one: authsec audit export-sealed > {file}") from None
    except OSError as error:
        raise CallFailed(f"{file} cannot be read: {error.strerror}.") from None
    _tell(open_output(as_json=as_json), report, kept)


def _tell(output: Output, report: Report, kept: Sequence[Head]) -> None:
    """Print the report, and end with the exit status that it means."""
    output.result(_as_json(report), *_for_people(report, kept))
    if not report.as_sealed:
        click.get_current_context().exit(Exit.FOUND)


def _keys(path: Path) -> Keys:
    """The keys in the file, by their thumbprints: what names it gives them counts for nothing."""
    try:
        listed = strict_json.loads(read_named(path, at_most=_MAX_FILE, remedy=_HOW_KEYS), max_bytes=_MAX_FILE)
        found = [PublicKey.from_jwk(each) for each in listed["keys"] if each.get("kty") == "OKP"]
    except (strict_json.StrictJsonError, JoseError, KeyError, TypeError, AttributeError):
        raise CallFailed(f"{path} does not hold the keys of a sealed journal.", _HOW_KEYS) from None
    if not found:
        raise CallFailed(f"{path} holds no key that seals journals; those of tokens are others.", _HOW_KEYS)
    return {key.thumbprint(): key for key in found}


def _kept(path: Path, known: Keys) -> Head:
    text = read_named(path, at_most=_MAX_FILE, remedy=_HOW_HEAD).decode("utf-8", "replace").strip()
    try:
        return read_head(text, known)
    except HeadRefused as refused:
        raise CallFailed(f"The head in {path} {refused}.", _HOW_HEAD) from None


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
    }


def _for_people(report: Report, kept: Sequence[Head]) -> list[Any]:
    yet = f"; {report.not_yet:,} not sealed yet" if report.not_yet else ""
    events = f"{report.sealed:,} event{'' if report.sealed == 1 else 's'} sealed"
    last = (
        f"The last head was signed at {when(rfc3339(report.last.at))} UTC."
        if report.last
        else ("There is no head that these keys signed.")
    )
    if report.as_sealed:
        fits = (
            [f"It leads to {'the head' if len(kept) == 1 else f'all {len(kept)} heads'} that you kept."] if kept else []
        )
        return [styled(f"{events}, all as sealed{yet}.", "green"), last, *fits]
    more = [f"And {report.more:,} more."] if report.more else []
    return [styled(f"{events}, but not all is as it was sealed:", "red"), *report.findings, *more, last]
