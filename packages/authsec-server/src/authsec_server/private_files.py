"""Files that hold a secret of the server's: read at its start, and refused where others may read them, too."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from authsec_server.failures import StartupRefused

MAX_BYTES: Final = 1024  # no secret that is read here is longer


def read_private(path: Path, called: str, *, if_missing: str) -> bytes:
    """What stands in the file, as far as a secret reaches. `called` is what messages call it; none quotes from it.

    Raises `StartupRefused` with `if_missing` as the remedy where there is none, and where it is not the server's alone.
    """
    try:
        with path.open("rb") as file:
            _refuse_if_others_read(path, called, os.fstat(file.fileno()))
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        raise StartupRefused(f"The {called} {path} is missing.", if_missing) from None
    except OSError as error:
        raise StartupRefused(
            f"The {called} {path} cannot be read: {error.strerror}.", "Let the server's own user read it."
        ) from None


def _refuse_if_others_read(path: Path, called: str, found: os.stat_result) -> None:
    if os.name == "nt":
        return
    # A file that root gives to the server's group is how Kubernetes mounts a secret (fsGroup, defaultMode 0440).
    tolerated = stat.S_IRGRP if found.st_uid == 0 else 0
    if stat.S_IMODE(found.st_mode) & 0o077 & ~tolerated:
        raise StartupRefused(
            f"The {called} {path} can be read or written by others (mode {stat.S_IMODE(found.st_mode):04o}).",
            f"chmod 600 {path}",
        )
