"""Types and options of the command line: durations, and lists that an edit replaces, extends or shortens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from authsec_server.cli.transport import CallFailed
from authsec_server.configuration.durations import as_typed, instead_of, seconds_of
from authsec_server.suggest import told_nearest

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


Command = TypeVar("Command", bound=Callable[..., Any])


def list_options(noun: str, plural: str, example: str) -> Callable[[Command], Command]:
    """Add `--NOUN`, `--add-NOUN` and `--remove-NOUN` to a command.

    The command receives them as `PLURAL`, `added_PLURAL` and `removed_PLURAL`.
    """

    def give(command: Command) -> Command:
        for name, kept, text in (
            (f"--remove-{noun}", f"removed_{plural}", "Without this one. Repeat."),
            (f"--add-{noun}", f"added_{plural}", "With this one besides. Repeat."),
            (f"--{noun}", plural, f"These, and no others: {example}. Repeat."),
        ):
            command = click.option(name, kept, multiple=True, help=text)(command)
        return command

    return give


def edited(now: Sequence[str], whole: Sequence[str], added: Sequence[str], removed: Sequence[str]) -> list[str] | None:
    """Return the list after the edit, or None if no option names a change.

    Raises `UsageError` for options that exclude each other, and `CallFailed` for a removed item that is not in
    the list.
    """
    if whole and (added or removed):
        raise click.UsageError("Name all that shall be in it, or what comes and what goes: not both.")
    if whole:
        return list(dict.fromkeys(whole))
    if not added and not removed:
        return None
    if missing := [each for each in removed if each not in now]:
        listed = f"In it: {', '.join(now) or '-'}"
        meant = told_nearest(missing[0], now, listed) if len(missing) == 1 else listed
        are = "is" if len(missing) == 1 else "are"
        raise CallFailed(f"{', '.join(missing)} {are} not in it. Nothing was changed.", meant)
    return [*(each for each in now if each not in removed), *(each for each in dict.fromkeys(added) if each not in now)]
