"""`authsec roles`: named sets of actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from authsec.lazy_commands import Commands
from rich.text import Text

from authsec_server.cli.output import block, when
from authsec_server.cli.params import TextField, list_options, name_option, slug_option, text_options, text_rows
from authsec_server.cli.resource import Resource

_TEXTS = (TextField("description", "Purpose of the role."),)


def _shown(role: Mapping[str, Any]) -> Text:
    return block(
        {
            "role": role["slug"],
            "name": role["name"],
            "actions": role["actions"],
            **text_rows(_TEXTS, role),
            "id": role["id"],
            "created": f"{when(role['created_at'])} UTC",
        }
    )


_ROLE = Resource(
    path="roles/{role}",
    accepts="ROLE is the role's slug or id.",
    columns={"ROLE": "slug", "NAME": "name", "ACTIONS": "actions"},
    whole="ROLE",
    shown=lambda role: [_shown(role)],
)


@click.group(cls=Commands)
def roles() -> None:
    """Manage roles, the named sets of actions that agents can receive."""


for command in (
    _ROLE.create_command(
        "Create the role NAME.",
        click.option(
            "--action",
            "actions",
            multiple=True,
            required=True,
            help="An action in the form resource:action, e.g. customers:read. Can be repeated.",
        ),
        slug_option,
        text_options(*_TEXTS),
    ),
    _ROLE.list_command("List the roles with their actions."),
    _ROLE.show_command("Show one role."),
    _ROLE.edit_command(
        """Change a role.

        Fields without an option stay as they are. An action that is removed from the role is also removed from
        every trust delegation of the role. The tokens of these delegations are revoked; the command shows the
        impact first. An action that is added to the role is in no delegation until somebody adds it there.
        """,
        name_option,
        text_options(*_TEXTS, editing=True),
        list_options("action", "actions", "resource:action"),
        change=lambda role, asked: {**asked, "actions": asked["actions"].of(role["actions"])},
    ),
    _ROLE.delete_command("Delete a role that no trust delegation uses any more.", done="The role {slug} is deleted."),
):
    roles.add_command(command)
