"""`authsec apis`: manage protected APIs, their audiences, their described actions and their credentials."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from authsec.api_credential import VARIABLE
from authsec.config import export_line
from authsec.lazy_commands import Commands
from rich.table import Table
from rich.text import Text

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import ask_for_good, change_command, delete, edit, yes_option
from authsec_server.cli.files import in_two_steps, kept
from authsec_server.cli.output import Output, block, styled, table, when
from authsec_server.cli.paging import Paged, note_more, page_options
from authsec_server.cli.params import DURATION, edited, list_options


@click.command("create-credential")
@click.argument("api")
@click.option("--name", help="What tells it from the next one. [default: the day]")
@click.option("--expires", type=DURATION, help="How long it lasts, e.g. 90d. [default: until it is revoked]")
@click.option(
    "--to-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Put it into this new file, which nobody else may read, rather than show it.",
)
@change_command
def create_credential(
    caller: Caller, output: Output, api: str, name: str | None, expires: int | None, to_file: Path | None
) -> None:
    """Create a credential with which an API asks the authority whether tokens are active. API is its slug or id.

    The command prints the credential once, alone on stdout. The authority stores only a hash of the credential.
    An API has at most two credentials: the current one and the next one.
    """
    made = kept(
        to_file,
        lambda: caller.post(path("apis", api, "credentials"), {"name": name, "expires_in": expires}),
        member="credential",
        taken=in_two_steps(to_file, "--to-file"),
        another=lambda answer: (
            f"authsec apis revoke-credential {api} {answer['id']}, then: authsec apis create-credential {api}"
        ),
    )
    until = f"until {when(made['expires_at'])} UTC" if made["expires_at"] else "until it is revoked"
    told = f"The credential {made['name']} of {api} is good {until}."
    if to_file is not None:
        output.result(made, told, f'  export {VARIABLE}="$(cat {shlex.quote(str(to_file))})"')
        return
    if not output.as_json:
        output.note(f"{told} It is shown this once:")
    output.result(made, made["credential"])
    if not output.as_json:  # not the secret once more: where stdout is kept to be read, stderr is kept to be logged
        output.note("Where the API runs:")
        output.note(f"    {export_line(VARIABLE, 'authsec_api_…')}")


@click.command("credentials")
@click.argument("api")
@admin_command
def list_credentials(caller: Caller, output: Output, api: str) -> None:
    """List the credentials of an API, oldest first, including ended credentials. API is its slug or id."""
    answer = caller.get(path("apis", api, "credentials"))
    heads = ("NAME", "STATE", "CREATED (UTC)", "EXPIRES (UTC)", "LAST USED (UTC)", "ID")
    rows = [
        (it["name"], _state(it), *(when(it[f"{what}_at"]) for what in ("created", "expires", "last_used")), it["id"])
        for it in answer["items"]
    ]
    output.result(answer, table(heads, rows, whole=("ID",)))


@click.command("revoke-credential")
@click.argument("api")
@click.argument("id_", metavar="ID")
@yes_option
@change_command
def revoke_credential(caller: Caller, output: Output, api: str, id_: str, yes: bool) -> None:
    """Revoke a credential of an API for good. API is its slug or id.

    ID is the id of the credential, as `credentials` shows it. No token is revoked.
    """
    where = path("apis", api, "credentials", id_, "revoke")
    ask_for_good(caller, output, where, f"Revoke this credential of {api} for good?", yes=yes)
    revoked = caller.post(where)
    output.result(revoked, f"The credential {revoked['name']} of {api} is revoked. It ended no token.")


COMMANDS = (create_credential, list_credentials, revoke_credential)


def _state(credential: Mapping[str, Any]) -> object:
    return credential["state"] if credential["state"] == "active" else styled(credential["state"], "red")


_NAMED = 8  # delegations that are said to name an audience


@click.group(cls=Commands)
def apis() -> None:
    """Manage protected APIs: their audiences and the meaning of each action."""


@apis.command("create")
@click.argument("name")
@click.option("--identifier", required=True, help="The audience: the API's URL, or a registered name.")
@click.option("--action", "actions", multiple=True, help='"customers:read=Read a customer". Repeat.')
@click.option("--slug", help="Short name for commands and URLs. [default: made of NAME]")
@click.option("--description", default="", help="What the API is.")
@change_command
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
        "actions": [{"action": action, "description": means} for action, means in map(_described, actions)],
        "slug": slug,
        "description": description,
    }
    api = caller.post("apis", body)
    output.result(api, *_shown(api))


@apis.command("list")
@page_options
@admin_command
def list_apis(caller: Caller, output: Output, paged: Paged) -> None:
    """List the APIs with their audiences."""
    answer = paged.of(caller, "apis")
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


@apis.command("edit")
@click.argument("api")
@click.option("--name", help="Another name.")
@click.option("--identifier", help="Another audience. Trust delegations that name the old one keep that.")
@click.option("--description", help="What the API is.")
@list_options("action", "actions", '"customers:read=Read a customer"')
@yes_option
@change_command
def edit_api(
    caller: Caller,
    output: Output,
    api: str,
    actions: tuple[str, ...],
    added_actions: tuple[str, ...],
    removed_actions: tuple[str, ...],
    yes: bool,
    **asked: str | None,
) -> None:
    """Change an API. API is its slug or id.

    Fields without an option stay as they are. `--remove-action` takes only the name of the action.
    `--add-action` with an existing action replaces the description of the action.
    """
    where = path("apis", api)
    found = caller.get(where)
    meanings = {each["action"]: each["description"] for each in found["actions"]}
    whole, added = dict(map(_described, actions)), dict(map(_described, added_actions))
    held = edited([*meanings], [*whole], [*added], removed_actions)
    meanings |= whole | added
    described = None if held is None else [{"action": each, "description": meanings[each]} for each in held]
    done = edit(caller, output, where, found, {**asked, "actions": described}, yes=yes)
    output.result(done, *_shown(done))


@apis.command("delete")
@click.argument("api")
@yes_option
@change_command
def delete_api(caller: Caller, output: Output, api: str, yes: bool) -> None:
    """Delete an API, its action descriptions and its credentials. API is its slug or id.

    Trust delegations that name the API's audience keep the audience, and tokens for the audience stay valid.
    The command first lists these delegations.
    """
    if not output.as_json:
        _say_who_names_it(caller, output, caller.get(path("apis", api))["identifier"])
    gone = delete(caller, output, path("apis", api), f"Delete {api} for good?", yes=yes)
    output.result(gone, f"The API {gone['slug']} is deleted. Tokens for {gone['identifier']} stay good.")


for command in COMMANDS:
    apis.add_command(command)


def _say_who_names_it(caller: Caller, output: Output, audience: str) -> None:
    """Note the live trust delegations that still allow tokens for the audience."""
    named = caller.get("delegations", audience=audience, state="live", limit=_NAMED)
    those = ", ".join(each["slug"] or each["id"] for each in named["items"])
    if those:
        more = " and others" if named["next"] else ""
        output.note(f"Live trust delegations keep naming its audience {audience}: {those}{more}.")


def _described(text: str) -> tuple[str, str]:
    """Split the text into an action and its description."""
    action, equals, description = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no description: write ACTION=DESCRIPTION.", param_hint="--action")
    return action, description


def _following(api: Mapping[str, Any], last: str = "") -> Text:
    """Describe whether the API follows revocations, and whether the API proved that with a credential."""
    its = api["revocations"]
    if not its["following"]:
        return styled(f"does not follow{last}" if its["seen_at"] else "not heard of yet", "yellow")
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
