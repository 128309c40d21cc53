"""The file that the workers of a host share: one worker writes each batch of the feed, and the others read it.

The first line names the issuer. Each further line is one batch. No other user can write to the file's folder.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authsec import strict_json
from authsec.errors import ConfigError
from authsec.safe_text import plain
from authsec.verifier.revocations.batch import MOST_BYTES

_MEMBER: Final = "authsec_revocations_of"
_LONGEST_HEADER: Final = 4096

LARGEST: Final = 1024 * 1024  # bytes; a larger file is replaced by a new file
_PIECE: Final = 1024 * 1024


class SharedFileUnusable(Exception):
    """The file cannot be used in its current state. The error text is safe to show."""


class SharedFileReplaced(Exception):
    """Another process has replaced the file that this worker writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFile:
    """The shared file of one authority, at `path`. The file's first line names the `issuer`."""

    path: Path
    issuer: str

    @property
    def lock(self) -> Path:
        """The path of the lock file. The worker that follows the authority has the lock.

        The lock file is never deleted, so that all workers lock the same file.
        """
        return self.path.with_name(f"{self.path.name}.lock")

    @property
    def replacement(self) -> Path:
        """The path at which a new file is written before it replaces the shared file."""
        return self.path.with_name(f"{self.path.name}.new")

    @property
    def header(self) -> bytes:
        """The first line, which names the issuer."""
        return strict_json.dumps({_MEMBER: self.issuer}) + b"\n"

    def check_header(self, fd: int) -> None:
        """Check that the open file belongs to this authority. Raises `SharedFileUnusable`.

        An empty file is accepted, because another worker may be about to write its first line.
        """
        beginning = os.pread(fd, _LONGEST_HEADER, 0)
        if not beginning:
            return
        try:
            said = strict_json.loads(beginning.partition(b"\n")[0])
        except strict_json.StrictJsonError:
            said = None
        issuer = said.get(_MEMBER) if isinstance(said, dict) else None
        if not isinstance(issuer, str):
            raise SharedFileUnusable(f"{self.path} is not a revocation feed file: name another file")
        if issuer != self.issuer:
            raise SharedFileUnusable(
                f"{self.path} has the feed of {plain(issuer, 100)!r}: each authority needs its own file"
            )


def open_private(path: Path, flags: int) -> int:
    """Open a regular file that only this user can write to, and return its descriptor.

    Raises `OSError` or `SharedFileUnusable`. The function does not follow a link and does not wait for a pipe.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SharedFileUnusable(f"{path} is a link: name the file itself") from None
        raise
    its = os.fstat(fd)
    if not stat.S_ISREG(its.st_mode):
        why = "is not a regular file"
    elif its.st_uid != os.geteuid():
        why = "belongs to another user: run all workers as one user, or use one file for each user"
    elif its.st_mode & 0o022:
        why = f"can be written by others (mode {stat.S_IMODE(its.st_mode):04o}): chmod 600"
    else:
        return fd
    os.close(fd)
    raise SharedFileUnusable(f"{path} {why}")


def shared_file_at(path: str | os.PathLike[str] | None, issuer: str) -> SharedFile | None:
    """Return the shared file at `path`, or else at the path in the environment. Without both paths, return None.

    Raises `ConfigError`, with a remedy, for a path that workers cannot share.
    """
    path = path or os.environ.get("AUTHSEC_REVOCATIONS_FILE")
    if not path:
        return None
    if sys.platform == "win32":
        raise ConfigError(
            "shared_file (AUTHSEC_REVOCATIONS_FILE) needs file locks of Unix. Leave shared_file out: each worker "
            "then follows the feed by itself",
            reason="shared_file_unsupported",
        )
    file = SharedFile(path=Path(path).absolute(), issuer=issuer)
    try:
        _check_folder(file.path.parent)
        if os.path.lexists(file.path):
            fd = open_private(file.path, os.O_RDONLY)
            try:
                file.check_header(fd)
            finally:
                os.close(fd)
    except OSError as error:
        raise _invalid(f"{file.path} cannot be used: {error.strerror}") from None
    except SharedFileUnusable as error:
        raise _invalid(str(error)) from None
    return file


def _check_folder(folder: Path) -> None:
    try:
        its = folder.stat()
    except FileNotFoundError:
        raise SharedFileUnusable(
            f"the folder {folder} does not exist: create a folder that only the workers' user can open (mode 700)"
        ) from None
    if not stat.S_ISDIR(its.st_mode):
        raise SharedFileUnusable(f"{folder} is not a folder")
    if its.st_mode & 0o022:  # The sticky bit does not help: another user could create the file first.
        raise SharedFileUnusable(
            f"{folder} can be written by others (mode {stat.S_IMODE(its.st_mode):04o}), who could hide "
            "revocations. Name a file in a folder that only the workers' user can open (mode 700)"
        )
    if its.st_uid not in {0, os.geteuid()} and os.geteuid() != 0:
        raise SharedFileUnusable(f"{folder} belongs to another user, who could hide revocations")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SharedFileUnusable(f"{folder} is not writable for this user, so the workers cannot store the file")


def _invalid(why: str) -> ConfigError:
    return ConfigError(f"shared_file (AUTHSEC_REVOCATIONS_FILE): {why}", reason="shared_file_invalid")


class SharedFileWriter:
    """Writes batches to the shared file. Only the worker that has the lock uses it.

    A reader starts at the end of the file. So it sees only the batches that are written afterwards.
    """

    def __init__(self, file: SharedFile) -> None:
        self._file = file
        self._fd: int | None = None
        self._size = 0

    def add(self, octets: bytes) -> None:
        """Add one batch to the file. Raises `OSError`, `SharedFileUnusable` or `SharedFileReplaced`."""
        fd = self._in_place()
        if fd is None or self._size > LARGEST:
            fd = self._begin()
        line = octets.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"  # JSON strings contain no raw line breaks
        try:
            _write(fd, line)
        except OSError:  # The line may be incomplete.
            self.end()
            raise
        self._size += len(line)

    def end(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    forget = end

    def _begin(self) -> int:
        """Replace the old file with a new file. Return its descriptor. Raises `OSError` or `SharedFileUnusable`."""
        self.end()
        self._check_old()
        replacement = self._file.replacement
        replacement.unlink(missing_ok=True)  # left behind by a worker that was killed
        fd = open_private(replacement, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        try:
            _write(fd, self._file.header)
            replacement.rename(self._file.path)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._size = fd, len(self._file.header)
        return fd

    def _check_old(self) -> None:
        try:
            old = open_private(self._file.path, os.O_RDONLY)
        except FileNotFoundError:
            return  # There is no old file.
        try:
            self._file.check_header(old)  # A file of another program must not be replaced.
        finally:
            os.close(old)

    def _in_place(self) -> int | None:
        """Return the descriptor of the open file if the file is still at its path.

        Return None if no file is open, or if the file was deleted. Raises `SharedFileReplaced` if another file is at
        the path.
        """
        if self._fd is None:
            return None
        try:
            there = os.stat(self._file.path, follow_symlinks=False)
        except FileNotFoundError:
            # The file was deleted; the caller creates a new file.
            return None
        if not os.path.samestat(os.fstat(self._fd), there):
            self.end()
            raise SharedFileReplaced
        return self._fd


def _write(fd: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(fd, octets) :]


class SharedFileReader:
    """Reads the batches of the shared file. If a new file replaces it, the reader continues with the new file."""

    def __init__(self, file: SharedFile) -> None:
        self._file = file
        self._fd: int | None = None
        self._at = 0
        self._rest = b""

    def begin(self) -> None:
        """Start at the end of the file: the earlier batches are too old to be accepted."""
        self.end()
        self._open()
        if self._fd is not None:
            self._at = os.fstat(self._fd).st_size

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that were added since the last call. Raises `OSError` or `SharedFileUnusable`."""
        if self._fd is not None:
            # Check this before the read, because a replaced file gets no more lines.
            replaced = self._replaced(self._fd)
            yield from self._added()
            if not replaced:
                return
            self.end()
        self._open()
        yield from self._added()

    def end(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, None
        self._at, self._rest = 0, b""
        if fd is not None:
            os.close(fd)

    forget = end

    def _open(self) -> None:
        try:
            fd = open_private(self._file.path, os.O_RDONLY)
        except FileNotFoundError:
            return  # no worker writes yet
        try:
            self._file.check_header(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._at = fd, len(self._file.header)

    def _replaced(self, fd: int) -> bool:
        try:
            there = os.stat(self._file.path, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return not os.path.samestat(os.fstat(fd), there)

    def _added(self) -> Iterator[bytes]:
        while self._fd is not None and (piece := os.pread(self._fd, _PIECE, self._at)):
            self._at += len(piece)
            *lines, self._rest = (self._rest + piece).split(b"\n")
            yield from lines
            if len(self._rest) > MOST_BYTES:  # No batch is so long. The reader of the batch refuses the text.
                yield self._rest
                self._rest = b""
