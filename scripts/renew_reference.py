"""Generate the reference parts of docs/settings.md, cli.md, audit.md and configuration.md from the code.

    uv run --no-sync python scripts/renew_reference.py            # rewrites the pages
    uv run --no-sync python scripts/renew_reference.py --check    # status 1 if a page is stale (tests do this)

The script replaces only the text between the two marks of a page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
from authsec.cli import commands
from authsec.exit_status import Exit
from authsec.lazy_commands import loaded
from authsec_server.audit.model import EventKind
from authsec_server.configuration.document import Document
from authsec_server.settings import ENV_PREFIX, Settings

DOCS = Path(__file__).resolve().parents[1] / "docs"
# docs/cli.md explains these options once, above the list.
OF_EVERY_ADMIN_COMMAND = {"--data", "--database", "--json"}
GENERATED = re.compile(r"(?<=<!-- generated: begin -->\n).*?(?=<!-- generated: end -->)", re.DOTALL)


def main(*arguments: str) -> int:
    """Write the pages. With `--check`, only print the stale pages, and return 1 if there are any."""
    stale = 0
    generated = {
        "settings.md": settings_table(),
        "cli.md": command_list(),
        "audit.md": kinds_of_events(),
        "configuration.md": sections_of_files(),
    }
    for page, text in ((DOCS / name, text) for name, text in generated.items()):
        before = page.read_text("utf-8")
        after = replaced(before, text)
        if after == before:
            continue
        stale += 1
        if "--check" in arguments:
            print(f"{page.name} is stale: run uv run --no-sync python scripts/renew_reference.py")
        else:
            page.write_text(after, "utf-8")
            print(f"{page.name} renewed")
    return int("--check" in arguments and stale > 0)


def replaced(page: str, text: str) -> str:
    """Return the page with `text` between its marks."""
    return GENERATED.sub(lambda _: f"\n{text}\n", page)


def settings_table() -> str:
    """Return a table with the environment variable, default and meaning of each setting."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "empty" if field.default in ("", None, ()) else f"`{field.default}`"
        rows.append(f"| `{ENV_PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def command_list() -> str:
    """Return a table of the exit statuses, and a section for each command."""
    statuses = ["| exit status | means |", "|---|---|", *(f"| {each.value} | {each.meaning} |" for each in Exit)]
    root = click.Context(commands, info_name="authsec")
    leaves = sorted(_leaves(root), key=lambda each: each.command_path)
    return "\n".join(["\n".join(statuses) + "\n", *map(_described, leaves)])


def kinds_of_events() -> str:
    """Return a table of the event kinds for `--kind`, with one row per prefix."""
    rows: dict[str, list[str]] = {}
    for kind in EventKind:
        rows.setdefault(f"{kind.partition('.')[0]}.", []).append(f"`{kind}`")
    return (
        "\n".join(["| kinds | |", "|---|---|", *(f"| `{name}` | {', '.join(its)} |" for name, its in rows.items())])
        + "\n"
    )


def sections_of_files() -> str:
    """Return a table of the sections of a configuration file, and of the members in each section."""
    rows = ["| section | members of each thing |", "|---|---|"]
    for section, field in Document.model_fields.items():
        (shape,) = [each for each in get_args(get_args(field.annotation)[0]) if each is not str]
        rows.append(f"| `{section}` | {', '.join(f'`{name}`' for name in shape.model_fields)} |")
    return "\n".join(rows) + "\n"


def _leaves(context: click.Context) -> Iterator[click.Context]:
    command = context.command
    if not isinstance(command, click.Group):
        yield context
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if below is not None and not below.hidden:
            yield from _leaves(click.Context(loaded(below), info_name=name, parent=context))


def _described(context: click.Context) -> str:
    command = context.command
    parameters = command.params
    if {option for parameter in parameters for option in parameter.opts} >= OF_EVERY_ADMIN_COMMAND:
        parameters = [parameter for parameter in parameters if not OF_EVERY_ADMIN_COMMAND & {*parameter.opts}]
    usage = " ".join([context.command_path, *filter(None, map(_shape, parameters))])
    return f"### `{context.command_path}`\n\n{command.get_short_help_str(limit=200)}\n\n    {usage}\n"


def _shape(parameter: click.Parameter) -> str:
    """Format a parameter for a usage line: `NAME`, `--action TEXT …` or `[--json]`."""
    if isinstance(parameter, click.Argument):
        return parameter.human_readable_name.upper()
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return ""
    name = "/".join([*parameter.opts[:1], *parameter.secondary_opts[:1]])
    shape = name if parameter.is_flag else f"{name} {_value(parameter)}"
    shape += " …" if parameter.multiple else ""
    return shape if parameter.required else f"[{shape}]"


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return "N" if option.type.name.startswith("integer") else option.type.name.upper()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
