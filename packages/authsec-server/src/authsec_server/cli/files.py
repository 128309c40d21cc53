"""Files that somebody names, read up to a bound; and secrets put into a new file that nobody else may read."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from authsec_server.cli.transport import CallFailed


def read_named(path: Path, *, at_most: int, remedy: str = "") -> bytes:
    """The content of the file, of `at_most` so many bytes. Raises `CallFailed`, with the remedy that is given."""
    content = read_beginning(path, at_most + 1, remedy=remedy)
    if len(content) > at_most:
        raise CallFailed(f"{path} is larger than {at_most:,} bytes.", remedy)
    return content


def read_beginning(path: Path, count: int, *, remedy: str = "") -> bytes:
    """The first so many bytes of the file. Raises `CallFailed`."""
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
    """What the call answers, without its secret `member` in it if that went to the file.

    The file is made before the call: a secret that is made can be had once, so there must be a place for it. `taken`
    is what to do where there is such a file, `another` how to make another secret where the file fills up.
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
                f"Make another: {another(answer)}",
            ) from None
    return answer


def in_two_steps(file: Path | None, option: str) -> str:
    """How the secret in a file that is there is replaced: at no time does anybody read half of one."""
    fresh = f"{file}.new"
    return f"To replace it, give {option} {shlex.quote(fresh)}, then: {shlex.join(['mv', fresh, str(file)])}"


def _new(file: Path, taken: str) -> BinaryIO:
    """O_EXCL: never over a secret that is in use, nor through a link that somebody laid there."""
    try:
        return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        raise CallFailed(f"{file} exists already, and is not written over.", taken) from None
    except OSError as error:
        raise CallFailed(f"{file} cannot be written: {error.strerror}.") from None
