"""`authsec apis`: protected APIs, their audiences and the actions that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from authsec_server.cli import api_credentials
from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.output import Output, block, styled, table, when
from authsec_server.cli.paging import note_more, page_options


@click.group()
def apis() -> None:
    """Protected APIs: who tokens are for, and what each action means."""


@apis.command("create")
@click.argument("name")
@click.option("--identifier", required=True, help="The audience: the API's URL, or a registered name.")
@click.option("--action", "actions", multiple=True, help='"customers:read=Read a customer". Repeat.')
@click.option("--slug", help="Short name for commands and URLs. [default: made of NAME]")
@click.option("--description", default="", help="What the API is.")
@admin_command
def create_api(
    caller: Caller,
    output: Output,
    name: str,
    identifier: str,
    actions: tuple[str, ...],
    slug: str | None,
    description: str,
) -> None:
    """Register the API NAME."""
    body = {
        "name": name,
        "identifier": identifier,
        "actions": [_described(action) for action in actions],
        "slug": slug,
        "description": description,
    }
    api = caller.post("apis", body)
    output.result(api, *_shown(api))


@apis.command("list")
@page_options
@admin_command
def list_apis(caller: Caller, output: Output, limit: int, cursor: str | None) -> None:
    """List the APIs with their audiences."""
    answer = caller.get("apis", limit=limit, cursor=cursor)
    rows = [
        (
            api["slug"],
            api["identifier"],
            _following(api),
            when(api["revocations"]["seen_at"]),
            [each["action"] for each in api["actions"]],
        )
        for api in answer["items"]
    ]
    heads = ("API", "AUDIENCE", "REVOCATIONS", "LAST SEEN (UTC)", "ACTIONS")
    output.result(answer, table(heads, rows, whole=("API",)))
    note_more(output, answer)


@apis.command("show")
@click.argument("api")
@admin_command
def show_api(caller: Caller, output: Output, api: str) -> None:
    """Show one API with the actions that it describes. API is its slug or id."""
    found = caller.get(path("apis", api))
    output.result(found, *_shown(found))


for command in api_credentials.COMMANDS:
    apis.add_command(command)


def _described(text: str) -> dict[str, str]:
    action, equals, description = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no description: write ACTION=DESCRIPTION.", param_hint="--action")
    return {"action": action, "description": description}


def _following(api: Mapping[str, Any], last: str = "") -> Text:
    """Whether it learns of them; what was said without proof is said to be."""
    its = api["revocations"]
    if not its["following"]:
        return styled("does not follow" + (last if its["seen_at"] else ""), "yellow")
    return styled("follows", "green") if its["proved"] else styled("says it follows", "")


def _shown(api: Mapping[str, Any]) -> list[Table | Text | str]:
    facts = {
        "api": api["slug"],
        "name": api["name"],
        "audience": api["identifier"],
        "description": api["description"],
        "revocations": _following(api, f", last seen {when(api['revocations']['seen_at'])} UTC"),
        "id": api["id"],
        "created": f"{when(api['created_at'])} UTC",
    }
    rows = [(each["action"], each["description"]) for each in api["actions"]]
    return [block(facts), "", table(("ACTION", "MEANS"), rows)] if rows else [block(facts)]
