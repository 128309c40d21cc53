"""The commands that most kinds of entities have: list by pages, show, edit, enable, disable and delete."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from inspect import cleandoc
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import (
    change_command,
    confirm_permanent,
    confirm_with_impact,
    deleting,
    edit,
    repeat_text,
    yes_option,
)
from authsec_server.cli.output import Column, Output, item_table
from authsec_server.cli.params import Callback, Option, given

_WIDE: Final = 110  # columns of a terminal that has room for `wide_columns`

Entity = Mapping[str, Any]
Change = Callable[[Entity, dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind of entity of the admin API. Most methods make a command for this kind of entity.

    `path` is the path of one entity. The placeholders of `path` are the arguments of the commands; `accepts`
    explains the arguments in the help. Some methods take the sentences `question` and `done`. These sentences may
    have the same placeholders. `done` may also have fields of the API's answer as placeholders.
    """

    path: str
    accepts: str = ""
    columns: Mapping[str, Column]  # columns of the list, by heading
    wide_columns: Mapping[str, Column] = field(default_factory=dict)
    whole: str  # heading of the column that is never wrapped
    shown: Callable[[Entity], Sequence[Table | Text | str]] = lambda _: ()

    def at(self, arguments: Mapping[str, str], *verb: str) -> str:
        """Return the path of the entity, or of an action (`verb`) on the entity. Raises `UsageError` like `path`."""
        return path(*(part.format_map(arguments) for part in self.path.split("/")), *verb)

    def list_command(self, help_: str, *filters: Option, name: str = "list") -> click.Command:
        """Make the command that lists the entities, a page at a time."""
        collection = self.path.rpartition("/")[0]

        def run(caller: Caller, output: Output, paged: Paged, **asked: object) -> None:
            answer = paged.of(caller, collection, **asked)
            wide = self.wide_columns if output.console.width >= _WIDE else {}
            output.result(answer, item_table(answer["items"], {**self.columns, **wide}, whole=self.whole))
            note_more(output, answer)

        return _command(name, help_, page_options(admin_command(run)), *filters)

    def create_command(
        self, help_: str, *options: Option, change: Callable[[dict[str, Any]], Mapping[str, Any]] = dict
    ) -> click.Command:
        """Make the command that creates the entity NAME. `change` turns the options into the request."""
        collection = self.path.rpartition("/")[0]

        def run(caller: Caller, output: Output, **asked: Any) -> None:
            made = caller.post(collection, change(given(asked)))
            output.result(made, *self.shown(made))

        return _command("create", help_, change_command(run), click.argument("name"), *options)

    def show_command(self, help_: str) -> click.Command:
        """Make the command that shows one entity."""

        def run(caller: Caller, output: Output, **arguments: str) -> None:
            found = caller.get(self.at(arguments))
            output.result(found, *self.shown(found))

        return self._entity_command("show", help_, admin_command(run))

    def verb_command(
        self,
        verb: str,
        help_: str,
        *,
        done: str | Callable[[Entity], str],
        question: str = "",
        for_good: bool = False,
        name: str = "",
    ) -> click.Command:
        """Make the command that does an action (`verb`) on one entity, with a POST.

        With a question, the command shows the impact first. `done` may be a function of the API's answer.
        """
        ask = confirm_permanent if for_good else confirm_with_impact

        def run(caller: Caller, output: Output, yes: bool = True, **arguments: str) -> None:
            where = self.at(arguments, verb)
            planned = ask(caller, output, where, question.format_map(arguments), yes=yes) if question else None
            answer = caller.post(where)
            text = done.format_map({**arguments, **answer}) if isinstance(done, str) else done(answer)
            output.result(answer, text + repeat_text(planned))

        return self._entity_command(name or verb, help_, change_command(run), *([yes_option] if question else []))

    def edit_command(
        self,
        help_: str,
        *options: Option,
        change: Change = lambda _, asked: asked,
        name: str = "edit",
        done: str = "",
        asks: bool = True,
    ) -> click.Command:
        """Make the command that edits one entity, and shows the entity or the sentence `done`.

        `change` turns the entity and the options into the fields of the request. A field with the value None stays as
        it is. With `asks`, the command shows the impact first if tokens would be revoked.
        """

        def run(caller: Caller, output: Output, yes: bool = True, **asked: Any) -> None:
            where = self.at({each: asked.pop(each) for each in self._arguments()})
            found = caller.get(where)
            edited = edit(caller, output, where, found, change(found, asked), yes=yes)
            output.result(edited, *([done.format_map(edited)] if done else self.shown(edited)))

        return self._entity_command(name, help_, change_command(run), *options, *([yes_option] if asks else []))

    def delete_command(
        self, help_: str, *, done: str, before: Callable[[Caller, Output, str], None] = lambda *_: None
    ) -> click.Command:
        """Make the command that deletes one entity permanently.

        The command calls `before` with the entity's path before it asks for confirmation.
        """

        def run(caller: Caller, output: Output, yes: bool, **arguments: str) -> None:
            where, named = self.at(arguments), arguments[self._arguments()[-1]]
            before(caller, output, where)
            confirm_permanent(caller, output, where, f"Delete {named} permanently?", yes=yes, send=deleting(caller))
            gone = caller.delete(where)
            output.result(gone, done.format_map(gone))

        return self._entity_command("delete", help_, change_command(run), yes_option)

    def _arguments(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    def _entity_command(self, name: str, help_: str, callback: Callback, *options: Option) -> click.Command:
        """Make a command for one entity: add the arguments, and explain them in the first paragraph of the help."""
        first, _, others = cleandoc(help_).partition("\n\n")
        text = "\n\n".join(filter(None, (f"{first} {self.accepts}".rstrip(), others)))
        return _command(name, text, callback, *map(click.argument, self._arguments()), *options)


def _command(name: str, help_: str, callback: Callback, *options: Option) -> click.Command:
    for option in reversed(options):  # decorators are applied from the last to the first
        callback = option(callback)
    return click.command(name, help=help_)(callback)


_MOST: Final = 200  # entries on a page of the API


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """The requested part of a list: one page, or all pages."""

    limit: int
    cursor: str | None
    everything: bool

    def of(self, caller: Caller, path: str, **filters: object) -> Mapping[str, Any]:
        """Read the requested part of the list at `path`, without the filters that are None."""
        if not self.everything:
            page: Mapping[str, Any] = caller.get(path, limit=self.limit, cursor=self.cursor, **filters)
            return page
        items: list[Any] = []
        cursor = self.cursor
        with caller.session() as its:
            while True:
                page = its.get(path, limit=_MOST, cursor=cursor, **filters)
                items, cursor = [*items, *page["items"]], page["next"]
                if cursor is None:
                    return {"items": items, "next": None}


def page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--limit`, `--cursor` and `--all` to a command. The command receives them as `paged`."""

    @click.option(
        "--limit", type=click.IntRange(1, _MOST), default=50, show_default=True, help="Number of entries on a page."
    )
    @click.option("--cursor", help="The cursor that the previous page printed.")
    @click.option("--all", "everything", is_flag=True, help="All entries, without pages.")
    @wraps(command)
    def run(*arguments: Any, limit: int, cursor: str | None, everything: bool, **options: Any) -> None:
        command(*arguments, paged=Paged(limit=limit, cursor=cursor, everything=everything), **options)

    return run


def note_more(output: Output, answer: Mapping[str, Any]) -> None:
    """Note that the list has more entries, and how to read them."""
    if answer["next"] and not output.as_json:
        output.note(f"There are more entries: --cursor {answer['next']}, or --all")
