"""Commands that are imported only when they run, and groups that list such commands.

One command does not wait for the imports of the other commands.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any, Final

import click

_LONGEST: Final = 300  # characters of a sentence


class LazyCommand(click.Command):
    """A command that is imported only when it runs. `target` is its location in the form `module:attribute`.

    Before the import, the group lists the command by its name and first sentence. click asks this object only for
    a context. The context belongs to the real command, so click then runs the real command.
    """

    def __init__(self, name: str, sentence: str, target: str) -> None:
        super().__init__(name, help=sentence)
        self._target = target

    @cached_property
    def loaded(self) -> click.Command:
        """Import and return the real command. Raises every error of the import."""
        module, _, attribute = self._target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self.loaded.make_context(info_name, args, parent, **extra)


class Commands(click.Group):
    """A command group. Its help shows the whole first sentence of each command, over several lines if needed."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, each.get_short_help_str(_LONGEST)) for name, each in found if each and not each.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def loaded(command: click.Command) -> click.Command:
    """Return the command, or the real command if it is a `LazyCommand`."""
    return command.loaded if isinstance(command, LazyCommand) else command
