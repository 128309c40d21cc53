"""Files with secrets of the server, such as the database. The server refuses a file that other users can read."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from authsec_server.failures import StartupRefused

_BESIDE: Final = ("-wal", "-shm", "-journal")
MAX_BYTES: Final = 1024  # every secret of the server is shorter


def read_private(path: Path, called: str, *, if_missing: str) -> bytes:
    """Read at most 1024 bytes of a secret file.

    `called` is the file's name in messages. No message quotes the content. Raises `StartupRefused` for a missing
    file, with the remedy `if_missing`. Also raises `StartupRefused` for a file that other users can read or
    write.
    """
    try:
        # Check before opening: a pipe would block. The remedy `chmod` would damage a device or a folder.
        if not stat.S_ISREG(path.stat().st_mode):
            raise StartupRefused(f"The {called} {path} is not a regular file.", "Name a regular file.")
        with path.open("rb") as file:
            _refuse_if_others_read(path, called, os.fstat(file.fileno()))
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        raise StartupRefused(f"The {called} {path} is missing.", if_missing) from None
    except OSError as error:
        raise StartupRefused(
            f"The {called} {path} cannot be read: {error.strerror}.", "Give the server's user read access to the file."
        ) from None


def make_private(path: Path) -> None:
    """Create an empty file with mode 0600, unless the file exists.

    SQLite itself would use the mode of the umask. SQLite copies the mode of this file to the -wal and -shm files.
    """
    with suppress(OSError):  # the folder is missing or not writable: opening the file will raise the error
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def check_data(file: Path) -> None:
    """Raise `StartupRefused` if other users can read, write or replace the embedded database."""
    if os.name == "nt":
        return
    folder = file.parent
    with suppress(FileNotFoundError):
        _refuse_if_others_exchange(folder, folder.stat())
    files = [file, *(file.with_name(file.name + suffix) for suffix in _BESIDE)]
    if shared := [each for each in files if each.exists() and _is_shared(each.stat())]:
        raise StartupRefused(
            f"The database file {shared[0]} can be read or written by other users (mode {_mode(shared[0].stat())}).",
            f"chmod 600 {' '.join(map(str, shared))}",
        )


def _refuse_if_others_exchange(folder: Path, found: os.stat_result) -> None:
    # Kubernetes makes a volume's root folder writable for the pod's group (fsGroup); that folder belongs to root.
    tolerated = stat.S_IWGRP if found.st_uid == 0 else 0
    if stat.S_IMODE(found.st_mode) & 0o022 & ~tolerated:
        raise StartupRefused(
            f"Other users can replace the files in the data folder {folder} (mode {_mode(found)}).",
            f"chmod 700 {folder}",
        )


def _refuse_if_others_read(path: Path, called: str, found: os.stat_result) -> None:
    if os.name != "nt" and _is_shared(found):
        raise StartupRefused(
            f"The {called} {path} can be read or written by other users (mode {_mode(found)}).", f"chmod 600 {path}"
        )


def _is_shared(found: os.stat_result) -> bool:
    # Kubernetes mounts a secret as a file of root that the server's group can read (fsGroup, defaultMode 0440).
    tolerated = stat.S_IRGRP if found.st_uid == 0 else 0
    return bool(stat.S_IMODE(found.st_mode) & 0o077 & ~tolerated)


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"


def synchronise(path: Path) -> None:
    """Wait until the file, or the names in the folder, are on the disk. Raises `OSError`."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
