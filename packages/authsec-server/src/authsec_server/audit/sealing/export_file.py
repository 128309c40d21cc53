"""The file of an export that the server itself writes: durable, read back, and compared before each use."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

from authsec_server.failures import Conflict
from authsec_server.private_files import synchronise

_MAX_LINE: Final = 4 * 1024 * 1024  # bytes: longer than any event
_MOST_NAMES: Final = 1000  # exports of one month


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFile:
    """An export in a file, with the SHA-256 of what was written. Each iteration reads the file again, to its end.

    An iteration raises `Conflict` at the end if the file has other content. The attack: somebody changes the file
    between two reads, so that a drop compares one content and leaves another.
    """

    path: Path
    sha256: str

    def __iter__(self) -> Iterator[str]:
        read = sha256()
        with self.path.open("rb") as file:
            for line in iter(partial(file.readline, _MAX_LINE), b""):
                read.update(line)
                yield line.decode("ascii", "replace")
        if read.hexdigest() != self.sha256:
            raise Conflict(f"The export {self.path} was changed after it was written. Nothing was dropped.")

    def check(self) -> None:
        """Read the file to its end. Raises `Conflict` if it was changed, and `OSError` if it cannot be read."""
        for _ in self:
            pass

    def delete(self) -> None:
        """Delete the file, if possible."""
        with suppress(OSError):
            self.path.unlink()


def write_export(folder: Path, name: str, lines: Iterable[str], token_bytes: Callable[[int], bytes]) -> ExportFile:
    """Write the export to a new file `name.jsonl` in this folder, and read it back. Raises `OSError` or `Conflict`.

    The file appears complete or not at all, and is on the disk when this function returns. It never replaces another
    file: a second export of the name gets a number.
    """
    _refuse_folder(folder)
    draft = folder / f".{name}.{token_bytes(8).hex()}"
    written = sha256()
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for line in lines:
                octets = line.encode("ascii")
                written.update(octets)
                file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        ExportFile(path=draft, sha256=written.hexdigest()).check()
        path = _named(draft, folder, name)
    finally:
        with suppress(OSError):
            draft.unlink()
    synchronise(folder)
    return ExportFile(path=path, sha256=written.hexdigest())


def check_folder(folder: Path, token_bytes: Callable[[int], bytes]) -> None:
    """Write an empty file to the folder, and delete it. Raises `OSError` or `Conflict` if no export could be there."""
    _refuse_folder(folder)
    tried = folder / f".authsec-{token_bytes(8).hex()}"
    os.close(os.open(tried, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    tried.unlink()


def _refuse_folder(folder: Path) -> None:
    """Raise `Conflict` if somebody else could put another export in the place of the server's."""
    if os.name != "nt" and stat.S_IMODE(folder.stat().st_mode) & stat.S_IWOTH:
        raise Conflict(f"Every user can write to the export folder {folder}.", f"chmod o-w {folder}")


def _named(draft: Path, folder: Path, name: str) -> Path:
    for number in range(1, _MOST_NAMES):
        path = folder / (f"{name}.jsonl" if number == 1 else f"{name}-{number}.jsonl")
        try:
            os.link(draft, path)  # unlike a rename, it never replaces
        except FileExistsError:
            continue
        return path
    raise Conflict(f"The export folder {folder} has {_MOST_NAMES} exports of one month.", "Move old exports elsewhere.")
