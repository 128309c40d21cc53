"""Where the workers of a host meet: a file, and a folder in which nobody else can put anything."""

from __future__ import annotations

import errno
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authsec import strict_json
from authsec.errors import ConfigError
from authsec.safe_text import plain

_MEMBER: Final = "authsec_revocations_of"
_LONGEST_HEADER: Final = 4096


class Unusable(Exception):
    """The file cannot be used as it is. The text is safe to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The file at `path` is for one authority: its first line names the `issuer`."""

    path: Path
    issuer: str

    @property
    def lock(self) -> Path:
        """Held by the worker that follows. It stays where it is, so that all lock the same."""
        return self.path.with_name(f"{self.path.name}.lock")

    @property
    def coming(self) -> Path:
        """The next file until it is complete enough to take the place of this one."""
        return self.path.with_name(f"{self.path.name}.new")

    @property
    def header(self) -> bytes:
        """The first line."""
        return strict_json.dumps({_MEMBER: self.issuer}) + b"\n"

    def check_header(self, fd: int) -> None:
        """Raises `Unusable` for a file that is not for this authority. One without anything in it may become so."""
        beginning = os.pread(fd, _LONGEST_HEADER, 0)
        if not beginning:
            return
        try:
            said = strict_json.loads(beginning.partition(b"\n")[0])
        except strict_json.StrictJsonError:
            said = None
        issuer = said.get(_MEMBER) if isinstance(said, dict) else None
        if not isinstance(issuer, str):
            raise Unusable(f"{self.path} holds something else than a feed of revocations: name another file")
        if issuer != self.issuer:
            raise Unusable(
                f"{self.path} holds the feed of {plain(issuer, 100)!r}: each authority needs a file of its own"
            )


def open_own(path: Path, flags: int) -> int:
    """A descriptor of a plain file that only this user can write to, however it came there.

    Raises `OSError` or `Unusable`. Neither a link is followed nor a pipe waited for.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unusable(f"{path} is a link: name the file itself") from None
        raise
    its = os.fstat(fd)
    if not stat.S_ISREG(its.st_mode):
        why = "is no plain file"
    elif its.st_uid != os.geteuid():
        why = "belongs to another user: let all workers run as one, or give each user's a file of their own"
    elif its.st_mode & 0o022:
        why = f"can be written by others (mode {stat.S_IMODE(its.st_mode):04o}): chmod 600"
    else:
        return fd
    os.close(fd)
    raise Unusable(f"{path} {why}")


def meeting_place(path: str | os.PathLike[str] | None, issuer: str) -> Place | None:
    """Where `shared_file=` or the environment says, if workers can meet there; None where neither says anything.

    Raises `ConfigError`, which says what would do.
    """
    path = path or os.environ.get("AUTHSEC_REVOCATIONS_FILE")
    if not path:
        return None
    if sys.platform == "win32":
        raise ConfigError(
            "shared_file (AUTHSEC_REVOCATIONS_FILE) needs file locks as Unix has them. Leave it out: then each worker "
            "follows by itself",
            reason="shared_file_unsupported",
        )
    place = Place(path=Path(path).absolute(), issuer=issuer)
    try:
        _check_folder(place.path.parent)
        if os.path.lexists(place.path):
            fd = open_own(place.path, os.O_RDONLY)
            try:
                place.check_header(fd)
            finally:
                os.close(fd)
    except OSError as error:
        raise _invalid(f"{place.path} cannot be used: {error.strerror}") from None
    except Unusable as error:
        raise _invalid(str(error)) from None
    return place


def _check_folder(folder: Path) -> None:
    try:
        its = folder.stat()
    except FileNotFoundError:
        raise Unusable(f"there is no folder {folder}: make it, for the user of the workers alone (mode 700)") from None
    if not stat.S_ISDIR(its.st_mode):
        raise Unusable(f"{folder} is no folder")
    if its.st_mode & 0o022:  # also where only the owner of a file may delete it: others could put theirs there first
        raise Unusable(
            f"{folder} can be written by others (mode {stat.S_IMODE(its.st_mode):04o}), who could keep revocations "
            "back. Name a file in a folder of the workers' user alone (mode 700)"
        )
    if its.st_uid not in {0, os.geteuid()} and os.geteuid() != 0:
        raise Unusable(f"{folder} belongs to another user, who could keep revocations back")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Unusable(f"{folder} cannot be written by this user, and so none of the workers could keep the file")


def _invalid(why: str) -> ConfigError:
    return ConfigError(f"shared_file (AUTHSEC_REVOCATIONS_FILE): {why}", reason="shared_file_invalid")
