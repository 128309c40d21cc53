"""Files of sealed exports, gone through line by line however large they are; and months, as they are typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from hashlib import file_digest
from pathlib import Path

import click

_MAX_LINE = 4 * 1024 * 1024  # far beyond any event's


class Exported:
    """The lines of a file, as often as they are asked for. Raises `OSError` as it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        with self._path.open(encoding="ascii", errors="replace", newline="\n") as lines:
            yield from iter(partial(lines.readline, _MAX_LINE), "")


def sha256_of(path: Path) -> str:
    """The hash of the file, as `sha256sum` prints it. Raises `OSError`."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


class Month(click.ParamType[datetime]):
    """A month: its beginning, UTC."""

    name = "month"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        found = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", str(value))
        if not found or found[1] == "0000":
            self.fail(f"{value!r} is no month; write 2026-08.", param, ctx)
        return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
