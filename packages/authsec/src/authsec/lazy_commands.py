"""Commands that are imported only when they run, so that one does not wait for thirty, and groups that list them."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any, Final

import click

_LONGEST: Final = 300  # characters of a sentence


class Deferred(click.Command):
    """Stands in a group for the command at `place` (`module:attribute`), under its name and with its first sentence.

    click asks it for a context and finds the command itself in there, so nothing else of it is ever used.
    """

    def __init__(self, name: str, sentence: str, place: str) -> None:
        super().__init__(name, help=sentence)
        self._place = place

    @cached_property
    def itself(self) -> click.Command:
        """The command. Imports what it needs, and raises whatever that raises."""
        module, _, attribute = self._place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self.itself.make_context(info_name, args, parent, **extra)


class Commands(click.Group):
    """A group whose page has the whole first sentence of each command, on as many lines as that takes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, each.get_short_help_str(_LONGEST)) for name, each in found if each and not each.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def itself(command: click.Command) -> click.Command:
    """The command, also where another stands for it."""
    return command.itself if isinstance(command, Deferred) else command
