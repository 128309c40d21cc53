"""Functions that read named files up to a size limit and write secrets into new private files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import click
from authsec.terminal import runnable

from authsec_server.cli.transport import CallFailed


class NamedFile(click.Path):
    """A path to a file. If the option or argument is missing, the error says which file it names and where to get it.

    `which` is one line: the file, and the command or place that it comes from.
    """

    def __init__(self, which: str, *, exists: bool = False, allow_dash: bool = False, folder: bool = False) -> None:
        super().__init__(path_type=Path, exists=exists, dir_okay=folder, allow_dash=allow_dash)
        self.which = which

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:  # noqa: ARG002 - of click
        return runnable(self.which)


def read_named(path: Path, *, at_most: int, remedy: str = "") -> bytes:
    """Read the whole file. Raises `CallFailed` with the remedy if the file has more than `at_most` bytes."""
    content = read_beginning(path, at_most + 1, remedy=remedy)
    if len(content) > at_most:
        raise CallFailed(f"{path} is larger than {at_most:,} bytes.", remedy)
    return content


def read_beginning(path: Path, count: int, *, remedy: str = "") -> bytes:
    """Read at most the first `count` bytes of the file. Raises `CallFailed` with the remedy."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise CallFailed(f"{path} cannot be read: {error.strerror}.", remedy) from None


def kept(
    file: Path | None,
    call: Callable[[], dict[str, Any]],
    *,
    member: str,
    taken: str,
    another: Callable[[dict[str, Any]], str],
) -> dict[str, Any]:
    """Make the call and return its answer. If a file is named, move the secret `member` from the answer to the file.

    The file is created before the call, because a secret is returned only once and must not be lost. `taken` is
    the remedy if the file exists already. If the file cannot be written, the error names a command for another
    secret: `another` builds this command. Raises `CallFailed`.
    """
    if file is None:
        return call()
    with _new(file, taken) as opened:
        try:
            answer = call()
            secret = answer.pop(member)
        except BaseException:
            file.unlink()
            raise
        try:
            opened.write(secret.encode() + b"\n")
            opened.flush()
        except OSError as error:
            raise CallFailed(
                f"The secret was made, but {file} cannot be written: {error.strerror}.",
                f"Create another secret: {another(answer)}",
            ) from None
    return answer


def in_two_steps(file: Path | None, option: str) -> str:
    """Return the remedy for an existing file: write the secret to a new file, then rename the new file.

    The rename is atomic, so no reader sees half of a secret.
    """
    fresh = f"{file}.new"
    return f"To replace the file, give {option} {shlex.quote(fresh)}, then: {shlex.join(['mv', fresh, str(file)])}"


def _new(file: Path, taken: str) -> BinaryIO:
    """Create the file with O_EXCL, readable only by its owner. Raises `CallFailed`.

    O_EXCL never overwrites a secret that is in use, and never follows a link that an attacker created.
    """
    try:
        return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        raise CallFailed(f"{file} already exists and is not overwritten.", taken) from None
    except OSError as error:
        raise CallFailed(f"{file} cannot be written: {error.strerror}.") from None
