"""Safe reads of files that contain a proof of identity, and messages about their paths.

The path comes from a variable or a program. The read is safe even if another program replaces the file during
the read.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from authsec.credentials.source import broken_proof
from authsec.errors import ConfigError

# A JWT begins with `eyJ`, which is `{"` in base64url. No file name has more than 255 bytes.
_SECRET: Final = re.compile(r"eyJ[\w-]*\.[\w-]*\.|-----BEGIN|authsec_cs_|[^/\\]{256}|[\r\n]")


def file_named_by(variable: str) -> str | ConfigError:
    """Return the path in the variable, or an empty string if the variable is not set.

    If the variable contains a secret instead of a path, return a `ConfigError` for the caller to raise. So no
    frame of the traceback contains the pasted secret.
    """
    named = os.environ.get(variable, "").strip()
    return pasted_secret(variable) if is_a_secret(named) else named


def missing_file(path: Path, found_by: str) -> str:
    """Return the message for a missing file. The message names the variable that contains the path.

    The variable may be set in a place that the program's author does not know.
    """
    named = f", which {found_by} names" if found_by.startswith("AUTHSEC_") else ""
    return f"There is no file {path}{named}; is the path right"


def is_a_secret(path: str | Path) -> bool:
    """Whether `path` looks like a token or a key instead of a file's name."""
    return _SECRET.search(str(path)) is not None


def pasted_secret(found_by: str) -> ConfigError:
    """Return the error for a secret that was passed instead of the name of its file."""
    return broken_proof(
        f"{found_by} must name the file of the token or key, but seems to be the secret itself. Write the secret "
        "to a file that only this user can read, and name that file. Others may have seen the secret: replace "
        "the secret."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """The first bytes of a file, and whether other users of this machine may open the file.

    The repr hides the bytes.
    """

    content: bytes = field(repr=False)
    open_to_others: bool


def read_regular(path: Path, *, at_most: int) -> FileContent | None:
    """Read at most `at_most` bytes of a regular file. Return None for any other file: a pipe may never end."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return FileContent(content=file.read(at_most), open_to_others=open_to_others(status))
    finally:
        os.close(descriptor)


def open_to_others(status: os.stat_result) -> bool:
    """Whether other users of this machine have any permission on the file. Always False on systems without modes."""
    return os.name == "posix" and bool(status.st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def permission_advice(path: Path, what: str) -> str:
    """Return a message for a file that other users may open: the problem and the command that solves it."""
    return (
        f"The {what} {path} can be read by other users of this machine, so it is not used. Run:\n    chmod 600 {path}"
    )
