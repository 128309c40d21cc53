"""`authsec roles`: named sets of actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.text import Text

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.output import Output, block, table, when
from authsec_server.cli.paging import note_more, page_options


@click.group()
def roles() -> None:
    """Roles: named sets of actions that agents may be given."""


@roles.command("create")
@click.argument("name")
@click.option("--action", "actions", multiple=True, required=True, help="resource:action, e.g. customers:read. Repeat.")
@click.option("--slug", help="Short name for commands and URLs. [default: made of NAME]")
@click.option("--description", default="", help="What the role is for.")
@admin_command
def create_role(
    caller: Caller, output: Output, name: str, actions: tuple[str, ...], slug: str | None, description: str
) -> None:
    """Create the role NAME."""
    body = {"name": name, "actions": list(actions), "slug": slug, "description": description}
    role = caller.post("roles", body)
    output.result(role, _shown(role))


@roles.command("list")
@page_options
@admin_command
def list_roles(caller: Caller, output: Output, limit: int, cursor: str | None) -> None:
    """List the roles with their actions."""
    answer = caller.get("roles", limit=limit, cursor=cursor)
    rows = [(role["slug"], role["name"], role["actions"]) for role in answer["items"]]
    output.result(answer, table(("ROLE", "NAME", "ACTIONS"), rows, whole=("ROLE",)))
    note_more(output, answer)


@roles.command("show")
@click.argument("role")
@admin_command
def show_role(caller: Caller, output: Output, role: str) -> None:
    """Show one role. ROLE is its slug or id."""
    found = caller.get(path("roles", role))
    output.result(found, _shown(found))


def _shown(role: Mapping[str, Any]) -> Text:
    return block(
        {
            "role": role["slug"],
            "name": role["name"],
            "actions": role["actions"],
            "description": role["description"],
            "id": role["id"],
            "created": f"{when(role['created_at'])} UTC",
        }
    )
