"""Durations as people type them: `90s`, `30m`, `1h`, `7d`."""

from __future__ import annotations

import re

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(click.ParamType[int]):
    """A duration in whole seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,9})([smhd])", str(value))
        if not found:
            self.fail(f"{value!r} is no duration; write 90s, 30m, 1h or 7d.", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]


DURATION = Duration()


def as_typed(seconds: int) -> str:
    """The duration as a person would type it: `1h`, `90s`."""
    unit = next(unit for unit in "dhms" if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"
