"""Reading the file that holds a proof: the opened file itself is looked at, not its name, which may be swapped."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The beginning of a file, hidden in every repr, and whether other users of this machine may open it."""

    content: bytes = field(repr=False)
    open_to_others: bool


def read_regular(path: Path, *, at_most: int) -> Read | None:
    """What is in the file, up to so many bytes; None if it is no regular file: a pipe would be waited at for ever."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return Read(content=file.read(at_most), open_to_others=open_to_others(status))
    finally:
        os.close(descriptor)


def open_to_others(status: os.stat_result) -> bool:
    """Whether other users of this machine may do anything with the file. Where there are no modes, nobody can tell."""
    return os.name == "posix" and bool(status.st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def close_it(path: Path, what: str) -> str:
    """What to say, and to do, about a file that is open to others."""
    return (
        f"The {what} {path} may be opened by other users of this machine, so it proves nothing. Add:\n"
        f"    chmod 600 {path}"
    )
