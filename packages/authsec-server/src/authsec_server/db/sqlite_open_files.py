"""Find the files that SQLite has opened for a connection, even if other files are now at their paths.

SQLite opens a database, its `-wal` file and its `-shm` file by their paths. The attack: another file is at
one of these paths only while SQLite opens it. The connection would then always read the other file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

Identity = tuple[int, int]
"""Device and inode of a file."""
_OPEN_FILES: Final = Path("/proc/self/fd")  # Linux


def identity(path: Path) -> Identity | None:
    """Return the identity of the file at this path; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_files() -> Mapping[int, Identity]:
    """Return the regular files that this process has open, by descriptor.

    The result is empty if the operating system does not list open files.
    """
    try:
        descriptors = [int(name) for name in os.listdir(_OPEN_FILES)]
    except OSError:
        return {}
    found = {}
    for descriptor in descriptors:
        with suppress(OSError):  # closed meanwhile: the listing itself has a descriptor
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                found[descriptor] = (status.st_dev, status.st_ino)
    return found


def opened_others(before: Mapping[int, Identity], known: Collection[Identity]) -> bool:
    """Whether the process has opened a regular file since `before` that is not one of the known files.

    The content is not compared: the first bytes of a forged file may be anything while SQLite opens the file.
    """
    return any(before.get(descriptor) != file and file not in known for descriptor, file in open_files().items())
