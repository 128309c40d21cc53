"""`authsec roles`: named sets of actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from authsec.lazy_commands import Commands
from rich.text import Text

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import change_command, delete, edit, yes_option
from authsec_server.cli.output import Output, block, table, when
from authsec_server.cli.paging import Paged, note_more, page_options
from authsec_server.cli.params import edited, list_options


@click.group(cls=Commands)
def roles() -> None:
    """Manage roles, the named sets of actions that agents can receive."""


@roles.command("create")
@click.argument("name")
@click.option("--action", "actions", multiple=True, required=True, help="resource:action, e.g. customers:read. Repeat.")
@click.option("--slug", help="Short name for commands and URLs. [default: made of NAME]")
@click.option("--description", default="", help="What the role is for.")
@change_command
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
def list_roles(caller: Caller, output: Output, paged: Paged) -> None:
    """List the roles with their actions."""
    answer = paged.of(caller, "roles")
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


@roles.command("edit")
@click.argument("role")
@click.option("--name", help="Another name.")
@click.option("--description", help="What the role is for.")
@list_options("action", "actions", "resource:action")
@yes_option
@change_command
def edit_role(
    caller: Caller,
    output: Output,
    role: str,
    name: str | None,
    description: str | None,
    actions: tuple[str, ...],
    added_actions: tuple[str, ...],
    removed_actions: tuple[str, ...],
    yes: bool,
) -> None:
    """Change a role. ROLE is its slug or id.

    Fields without an option stay as they are. An action that is removed from the role is also removed from
    every trust delegation of the role. The tokens of these delegations are revoked; the command shows the
    impact first. An action that is added to the role is in no delegation until somebody adds it there.
    """
    where = path("roles", role)
    found = caller.get(where)
    held = edited(found["actions"], actions, added_actions, removed_actions)
    done = edit(caller, output, where, found, {"name": name, "description": description, "actions": held}, yes=yes)
    output.result(done, _shown(done))


@roles.command("delete")
@click.argument("role")
@yes_option
@change_command
def delete_role(caller: Caller, output: Output, role: str, yes: bool) -> None:
    """Delete a role that no trust delegation uses any more. ROLE is its slug or id."""
    gone = delete(caller, output, path("roles", role), f"Delete {role} for good?", yes=yes)
    output.result(gone, f"The role {gone['slug']} is deleted.")


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
