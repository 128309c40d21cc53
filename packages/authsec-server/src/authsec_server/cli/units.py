"""Durations as people type them on the command line: `90s`, `30m`, `1h`, `7d`."""

from __future__ import annotations

import click

from authsec_server.configuration.durations import as_typed, instead_of, seconds_of

__all__ = ["DURATION", "Duration", "as_typed"]


class Duration(click.ParamType[int]):
    """A duration in whole seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = seconds_of(str(value))
        if found is None:
            self.fail(f"{value!r} is no duration. {instead_of(str(value))}", param, ctx)
        return found


DURATION = Duration()
