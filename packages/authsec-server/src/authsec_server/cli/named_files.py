"""Files that somebody names on the command line or in a file of theirs, read up to a bound."""

from __future__ import annotations

from pathlib import Path

from authsec_server.cli.reach import CallFailed


def read_named(path: Path, *, at_most: int, remedy: str = "") -> bytes:
    """The content of the file, of `at_most` so many bytes. Raises `CallFailed`, with the remedy that is given."""
    content = read_beginning(path, at_most + 1, remedy=remedy)
    if len(content) > at_most:
        raise CallFailed(f"{path} is larger than {at_most:,} bytes.", remedy)
    return content


def read_beginning(path: Path, count: int, *, remedy: str = "") -> bytes:
    """The first so many bytes of the file. Raises `CallFailed`."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise CallFailed(f"{path} cannot be read: {error.strerror}.", remedy) from None
