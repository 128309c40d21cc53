"""Types and options of the command line: durations, and lists that an edit replaces, extends or shortens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

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
            self.fail(f"{value!r} is not a duration. {instead_of(str(value))}", param, ctx)
        return found


DURATION = Duration()


Callback = Callable[..., None]
Option = Callable[[Callback], Callback]
"""A decorator that adds an option or an argument to a command."""

slug_option = click.option("--slug", help="Short name for commands and URLs. [default: made of NAME]")
name_option = click.option("--name", help="New name.")


@dataclass(frozen=True, slots=True)
class TextField:
    """A text field of an entity. `create` and `edit` have an option for the field, and `show` has a row."""

    name: str
    meaning: str
    default: str = ""  # the default of `create`, in words


def text_options(*fields: TextField, editing: bool = False) -> Option:
    """Add an option for each field to a command. An option that is not used has the value None."""

    def give(command: Callback) -> Callback:
        for each in reversed(fields):
            default = f" [default: {each.default}]" if each.default and not editing else ""
            command = click.option(f"--{each.name.replace('_', '-')}", help=f"{each.meaning}{default}")(command)
        return command

    return give


def text_rows(fields: Sequence[TextField], entity: Mapping[str, Any]) -> dict[str, object]:
    """Return the fields of the entity as rows of `show`."""
    return {each.name.replace("_", " "): entity[each.name] for each in fields}


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were used, as fields of a request."""
    return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ListEdit:
    """An edit of a list: the whole new list, or the items to add and to remove."""

    whole: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether the options change the list."""
        return bool(self.whole or self.added or self.removed)

    def of(self, now: Sequence[str]) -> list[str] | None:
        """Return the list `now` after the edit, or None if the options do not change the list.

        Raises `UsageError` for options that exclude each other. Raises `CallFailed` if an item to remove is not in
        the list.
        """
        if self.whole and (self.added or self.removed):
            raise click.UsageError("Give the complete list, or the entries to add and remove, not both.")
        if self.whole:
            return list(dict.fromkeys(self.whole))
        if not self:
            return None
        if missing := [each for each in self.removed if each not in now]:
            listed = f"Current list: {', '.join(now) or '-'}"
            meant = told_nearest(missing[0], now, listed) if len(missing) == 1 else listed
            are = "is" if len(missing) == 1 else "are"
            raise CallFailed(f"{', '.join(missing)} {are} not in the list. Nothing was changed.", meant)
        kept = [each for each in now if each not in self.removed]
        return [*kept, *(each for each in dict.fromkeys(self.added) if each not in now)]


def list_options(noun: str, plural: str, example: str) -> Option:
    """Add `--NOUN`, `--add-NOUN` and `--remove-NOUN` to a command. The command receives them as one `ListEdit`."""

    def give(command: Callback) -> Callback:
        @click.option(f"--{noun}", plural, multiple=True, help=f"The complete new list: {example}. Can be repeated.")
        @click.option(f"--add-{noun}", f"added_{plural}", multiple=True, help="An entry to add. Can be repeated.")
        @click.option(
            f"--remove-{noun}", f"removed_{plural}", multiple=True, help="An entry to remove. Can be repeated."
        )
        @wraps(command)
        def run(*arguments: Any, **options: Any) -> None:
            edit = ListEdit(*(options.pop(f"{part}{plural}") for part in ("", "added_", "removed_")))
            command(*arguments, **options, **{plural: edit})

        return run

    return give
