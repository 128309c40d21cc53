"""Commands that are imported when they are asked for: whoever wants one of thirty does not wait for the others."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any

import click


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


def itself(command: click.Command) -> click.Command:
    """The command, also where another stands for it."""
    return command.itself if isinstance(command, Deferred) else command
