"""Which files this process has open, whatever stands at their paths by now.

SQLite opens a database by its path. Somebody who moves another file there for that moment, and the first one back, has
a connection that reads the other file for good.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

Identity = tuple[int, int]  # device and inode
_OPEN_FILES = Path("/proc/self/fd")  # Linux


def identity(path: Path) -> Identity | None:
    """The file at this path, whatever its name becomes; None for no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def times_open(wanted: Identity) -> int | None:
    """How many times this process has the file open; None where the system does not say."""
    try:
        names = os.listdir(_OPEN_FILES)
    except OSError:
        return None
    times = 0
    for name in names:
        with suppress(OSError):  # one that was closed meanwhile
            found = os.fstat(int(name))
            times += (found.st_dev, found.st_ino) == wanted
    return times
