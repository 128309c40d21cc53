"""Read the last lines of the file with outside checkpoints."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Final

TAIL_BYTES: Final = 512 * 1024  # about 800 checkpoints
READ_SECONDS: Final = 5.0  # a mount may hang


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointLines:
    """The last lines of the file with outside checkpoints, oldest first.

    `cut` is true if the file has earlier lines. `unread` is the reason why no line could be read.
    """

    lines: Sequence[str] = ()
    cut: bool = False
    unread: str = ""


def read_lines(path: Path, at_most: int | None = None) -> CheckpointLines:
    """Read the lines in the last `at_most` bytes of the file (default `TAIL_BYTES`).

    Waits at most `READ_SECONDS`.
    """
    found: list[CheckpointLines] = []

    def read() -> None:
        found.append(last_lines(path, at_most or TAIL_BYTES))

    reading = Thread(target=read, name="authsec-checkpoints-read", daemon=True)
    reading.start()
    reading.join(READ_SECONDS)
    return found[0] if found else CheckpointLines(unread=f"{path} did not answer within {READ_SECONDS:g} s")


def last_lines(path: Path, at_most: int) -> CheckpointLines:
    """Read the lines in the last `at_most` bytes of the file, without a timeout."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # else a pipe would block here
        with os.fdopen(descriptor, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - at_most)
            file.seek(start)
            lines = file.read(at_most).decode("ascii", "replace").splitlines()
    except FileNotFoundError:
        return CheckpointLines()  # no checkpoint was sent there yet
    except OSError as error:
        return CheckpointLines(unread=f"{path} cannot be read: {error.strerror}")
    return CheckpointLines(lines=lines[1:] if start else lines, cut=start > 0)
