"""Commands that are imported only when they run, so that one does not wait for thirty, and groups that list them."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any, Final

import click

_LONGEST: Final = 300  # characters of a sentence


class LazyCommand(click.Command):
    """A command of a group that is at `target` (`module:attribute`), known by its name and its first sentence.

    click asks for a context and finds the loaded command in there, so it uses nothing else of this one.
    """

    def __init__(self, name: str, sentence: str, target: str) -> None:
        super().__init__(name, help=sentence)
        self._target = target

    @cached_property
    def loaded(self) -> click.Command:
        """The command. Imports what it needs, and raises whatever that raises."""
        module, _, attribute = self._target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self.loaded.make_context(info_name, args, parent, **extra)


class Commands(click.Group):
    """A group whose page has the whole first sentence of each command, on as many lines as that takes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, each.get_short_help_str(_LONGEST)) for name, each in found if each and not each.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def loaded(command: click.Command) -> click.Command:
    """The command, also where another stands for it."""
    return command.loaded if isinstance(command, LazyCommand) else command
