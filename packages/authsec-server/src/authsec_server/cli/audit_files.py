"""Readers of the files that `authsec audit verify` needs: keys, checkpoints and exports.

The module also has `Month`, the option type for a month, and the option that names the file of the sealing key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial, wraps
from hashlib import file_digest
from pathlib import Path
from typing import Any, Self

import click
from authsec import strict_json
from authsec.exit_status import Exit
from authsec.jose import JoseError, PublicKey

from authsec_server.audit.sealing.checkpoints import Checkpoint, CheckpointRefused, Keys, NoCheckpoint, read_checkpoint
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.lines import NotAnExport
from authsec_server.audit.sealing.log_check import Report
from authsec_server.cli.caller import Caller
from authsec_server.cli.files import NamedFile, read_named
from authsec_server.cli.local import InProcess
from authsec_server.cli.output import Output
from authsec_server.cli.transport import CallFailed
from authsec_server.keys.sealing_keys import NO_FILE, SETTING

_MAX_FILE = 64 * 1024
_MAX_CHECKPOINTS = 1024 * 1024 * 1024  # bytes: a month of one checkpoint a second
_HOW_KEYS = "Save the keys while you trust the authority: authsec audit keys > FILE"
KEYS_FILE = NamedFile(
    "The file has the authority's public keys, e.g. authsec-audit-keys.json. Save the keys while you trust the "
    "authority: authsec audit keys > authsec-audit-keys.json"
)
EXPORT_FILE = NamedFile(
    "The file has the whole sealed log, e.g. until-august.jsonl. To make the file: authsec audit export-sealed > "
    "until-august.jsonl"
)
_HOW_CHECKPOINT = "A checkpoint is one line, printed by: authsec audit checkpoint > FILE"
_HOW_EXPORT = "To make an export in its own file: authsec audit export-sealed > FILE"
CHECKPOINT_HELP = (
    "File with checkpoints, one on each line, e.g. /mnt/elsewhere/checkpoints.txt: the server writes the file "
    "(`authsec serve --audit-checkpoints FILE`), or you save lines that `authsec audit checkpoint` prints. Can be "
    "repeated."
)
_MAX_LINE = 4 * 1024 * 1024  # bytes: longer than any event


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCheckpoints:
    """The checkpoints in the files, and the lines of the files that are not valid checkpoints.

    `checkpoints` are the checkpoints to verify with. `refused` has one sentence for each file with refused
    checkpoints, for example because none of the keys has signed them. The sentence is about the first refused
    checkpoint of the file; `more` is the number of the other refused checkpoints. `torn` has one sentence for each
    file with incomplete lines; `lines` is the number of incomplete lines in all files.
    """

    checkpoints: tuple[Checkpoint, ...] = ()
    refused: tuple[str, ...] = ()
    more: int = 0
    torn: tuple[str, ...] = ()
    lines: int = 0

    def and_these(self, report: Report) -> Report:
        """Return the report with the refused checkpoints added to the findings."""
        return replace(report, findings=(*self.refused, *report.findings), more=self.more + report.more)


class Exported:
    """The lines of a file. Each iteration reads the file again. Raises `OSError` during the iteration."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        with self._path.open(encoding="ascii", errors="replace", newline="\n") as lines:
            yield from iter(partial(lines.readline, _MAX_LINE), "")


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of the file, as `sha256sum` prints it. Raises `OSError`."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


class Month(click.ParamType[datetime]):
    """A month, as the datetime of its beginning in UTC."""

    name = "month"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        found = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", str(value))
        if not found or found[1] == "0000":
            self.fail(f"{value!r} is not a month; write 2026-08.", param, ctx)
        return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)


def read_keys(path: Path) -> tuple[Keys, Mapping[str, int]]:
    """Read the keys in the file, by thumbprint, and the limits that the file sets for some of the keys.

    Each key is identified by its computed thumbprint. The names in the file are ignored. A limit is the maximum
    number of leaves (sealed events) that a checkpoint of the key may cover. The second mapping has the limits, by
    thumbprint. Raises `CallFailed`.
    """
    try:
        listed = strict_json.loads(read_named(path, at_most=_MAX_FILE, remedy=_HOW_KEYS), max_bytes=_MAX_FILE)
        found = {
            PublicKey.from_jwk(each): each.get("checkpoints_up_to")
            for each in listed["keys"]
            if each.get("kty") == "OKP"
        }
        ends = {key.thumbprint(): int(end) for key, end in found.items() if end is not None}
    except (strict_json.StrictJsonError, JoseError, KeyError, TypeError, ValueError, AttributeError):
        raise CallFailed(f"{path} does not contain the keys of a sealed audit log.", _HOW_KEYS) from None
    if not found:
        raise CallFailed(
            f"{path} has no key that seals audit logs. The keys that sign tokens are different keys.", _HOW_KEYS
        )
    return {key.thumbprint(): key for key in found}, ends


def read_given(path: Path) -> KeptExport:
    """Open the file as a sealed export. Raises `CallFailed`."""
    with an_export(path):
        return KeptExport(str(path), Exported(path))


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """The content of a checkpoint file at the time of reading. Servers append to the file meanwhile."""

    path: Path
    content: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file. Raises `CallFailed`."""
        return cls(path, read_named(path, at_most=_MAX_CHECKPOINTS, remedy=_HOW_CHECKPOINT))


def checkpoints_in(files: Sequence[CheckpointFile], known: Keys) -> KeptCheckpoints:
    """Read the checkpoints in the files, one checkpoint on each line. Raises `CallFailed`."""
    each = [_checkpoints_in(file, known) for file in files]
    return KeptCheckpoints(
        checkpoints=tuple(checkpoint for file in each for checkpoint in file.checkpoints),
        refused=tuple(sentence for file in each for sentence in file.refused),
        more=sum(file.more for file in each),
        torn=tuple(sentence for file in each for sentence in file.torn),
        lines=sum(file.lines for file in each),
    )


def _checkpoints_in(file: CheckpointFile, known: Keys) -> KeptCheckpoints:
    path, lines = file.path, file.content.decode("utf-8", "replace").splitlines()
    checkpoints, torn, refused = list[Checkpoint](), list[int](), list[str]()
    for number, line in enumerate(map(str.strip, lines), 1):
        try:
            checkpoints += [read_checkpoint(line, known)] if line else []
        except NoCheckpoint:  # a full disk can cut a line, and an append-only file keeps this line
            torn.append(number)
        except CheckpointRefused as why:
            at = f"line {number} of " if len(lines) > 1 else ""
            refused.append(f"The checkpoint in {at}{path} {why}.")
    if not checkpoints and not refused:
        raise no_checkpoint(path, lines)
    return KeptCheckpoints(
        checkpoints=tuple(checkpoints),
        refused=tuple(refused[:1]),
        more=len(refused[1:]),
        torn=(_torn(path, torn),) if torn else (),
        lines=len(torn),
    )


def no_checkpoint(path: Path, lines: Sequence[str]) -> CallFailed:
    """Build the error for a file without a checkpoint: what the file contains, and how to print a checkpoint."""
    if not any(map(str.strip, lines)):
        what = "it is empty"
    else:
        what = (
            "its only line is not a checkpoint"
            if len(lines) == 1
            else (f"none of its {len(lines):,} lines is a checkpoint")
        )
    return CallFailed(f"{path} has no checkpoint: {what}.", _HOW_CHECKPOINT)


def _torn(path: Path, numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"Line {numbers[0]} of {path} is not a complete checkpoint and was ignored."
    return (
        f"{len(numbers):,} lines of {path} are not complete checkpoints and were ignored, the first at line "
        f"{numbers[0]}."
    )


@contextmanager
def an_export(path: Path) -> Iterator[None]:
    """Convert `NotAnExport` to `CallFailed` while the file is read as an export."""
    try:
        yield
    except NotAnExport:
        raise CallFailed(f"{path} is not a sealed export.", _HOW_EXPORT) from None


@contextmanager
def readable() -> Iterator[None]:
    """Convert `OSError` to `CallFailed` while files are read line by line."""
    try:
        yield
    except OSError as error:
        raise CallFailed(f"{error.filename} cannot be read: {error.strerror}.") from None


OPTION = "--sealing-key-file"


def sealing_key_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--sealing-key-file` to a command. If the command fails without the file, the error names the option."""

    @click.option(
        OPTION,
        "sealing_key_file",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help=f"File of the current sealing key, if the key is in a file. Needs --data. [default: {SETTING}]",
    )
    @wraps(command)
    def run(caller: Caller, output: Output, *, sealing_key_file: Path | None, **options: Any) -> None:
        try:
            command(_with_file(caller, sealing_key_file) if sealing_key_file else caller, output, **options)
        except CallFailed as failed:
            if failed.message != NO_FILE:
                raise
            raise CallFailed(
                NO_FILE, f"Name the file of the sealing key: {OPTION} FILE, or {SETTING}=FILE", exit_code=Exit.FAILED
            ) from None

    return run


def in_process(caller: Caller, option: str) -> InProcess:
    """Return the in-process authority. Raises `CallFailed` if `caller` uses a server.

    A server must not receive the private key.
    """
    if isinstance(caller.reach, InProcess):
        return caller.reach
    raise CallFailed(
        "A private key cannot be sent to a server.", f"Run this on the server's machine: --data DIR {option} FILE"
    )


def _with_file(caller: Caller, file: Path) -> Caller:
    reach = in_process(caller, OPTION)
    settings = reach.settings.model_copy(update={"sealing_key_file": file})
    return replace(caller, reach=replace(reach, settings=settings))
