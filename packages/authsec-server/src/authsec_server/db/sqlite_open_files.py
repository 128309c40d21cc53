"""Identify the files that this process has open, independent of the files at their paths.

The attack: SQLite opens a database by its path. An attacker puts another file there for a moment, then the
first one back. A connection from that moment keeps reading the other file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

Identity = tuple[int, int]  # device and inode
_OPEN_FILES: Final = Path("/proc/self/fd")  # Linux
_FIRST_BYTES: Final = (b"SQLite format 3\0", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")  # of a database, of a -wal file
_LONGEST: Final = 16


def identity(path: Path) -> Identity | None:
    """Return the identity of the file at this path, which survives a rename; None without a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_files() -> Mapping[int, Identity]:
    """The regular files that this process has open, by descriptor; empty where the system does not say."""
    try:
        descriptors = [int(name) for name in os.listdir(_OPEN_FILES)]
    except OSError:
        return {}
    found = {}
    for descriptor in descriptors:
        with suppress(OSError):  # one that is closed by now: the listing itself has one
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                found[descriptor] = (status.st_dev, status.st_ino)
    return found


def opens_other(before: Mapping[int, Identity], known: Collection[Identity]) -> bool:
    """Whether a database or a -wal file was opened since that is none of the known files."""
    for descriptor, file in open_files().items():
        if before.get(descriptor) != file and file not in known:
            with suppress(OSError):
                if os.pread(descriptor, _LONGEST, 0).startswith(_FIRST_BYTES):
                    return True
    return False
