"""`authsec apis`: manage protected APIs, their audiences, their described actions and their credentials."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from authsec.api_credential import VARIABLE
from authsec.config import export_line
from authsec.lazy_commands import Commands
from rich.table import Table
from rich.text import Text

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import change_command
from authsec_server.cli.files import in_two_steps, kept
from authsec_server.cli.output import Output, block, item_table, styled, table, time_of, when
from authsec_server.cli.params import (
    DURATION,
    ListEdit,
    TextField,
    list_options,
    name_option,
    slug_option,
    text_options,
    text_rows,
)
from authsec_server.cli.resource import Resource
from authsec_server.keys.model import Algorithm

_NAMED = 8  # delegations named in a note
ALGORITHMS = click.Choice([each.value for each in Algorithm])
_TEXTS = (TextField("description", "Description of the API."),)


@click.command("create-credential")
@click.argument("api")
@click.option("--name", help="A name for the credential. [default: the date]")
@click.option(
    "--expires",
    type=DURATION,
    help="How long the credential is valid, e.g. 90d. [default: until somebody revokes the credential]",
)
@click.option(
    "--to-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the credential to this new file, which only you can read, instead of printing the credential.",
)
@change_command
def create_credential(
    caller: Caller, output: Output, api: str, name: str | None, expires: int | None, to_file: Path | None
) -> None:
    """Create a credential for an API, so that the API can check tokens at the authority. API is the API's slug or id.

    With the credential, the API asks the authority whether tokens are active. The command prints the credential
    once, alone on stdout. The authority stores only a hash of the credential. An API has at most two credentials:
    the current credential and the next credential.
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
    told = f"The credential {made['name']} of {api} is valid {until}."
    if to_file is not None:
        output.result(made, told, f'  export {VARIABLE}="$(cat {shlex.quote(str(to_file))})"')
        return
    if not output.as_json:
        output.note(f"{told} It is shown only once:")
    output.result(made, made["credential"])
    if not output.as_json:  # not the secret: logs often store stderr
        output.note("Where the API runs:")
        output.note(f"    {export_line(VARIABLE, 'authsec_api_…')}")


@click.command("credentials")
@click.argument("api")
@admin_command
def list_credentials(caller: Caller, output: Output, api: str) -> None:
    """List the credentials of an API, oldest first, including inactive credentials.

    API is the API's slug or id.
    """
    answer = caller.get(path("apis", api, "credentials"))
    output.result(answer, item_table(answer["items"], _CREDENTIAL.columns, whole=_CREDENTIAL.whole))


def _state(credential: Mapping[str, Any]) -> object:
    return credential["state"] if credential["state"] == "active" else styled(credential["state"], "red")


_CREDENTIAL = Resource(
    path="apis/{api}/credentials/{id}",
    accepts="API is the API's slug or id.",
    columns={
        "NAME": "name",
        "STATE": _state,
        "CREATED (UTC)": time_of("created_at"),
        "EXPIRES (UTC)": time_of("expires_at"),
        "LAST USED (UTC)": time_of("last_used_at"),
        "ID": "id",
    },
    whole="ID",
)


def _say_who_names_it(caller: Caller, output: Output, where: str) -> None:
    """Note the live trust delegations that still allow tokens for the audience of the API."""
    if output.as_json:
        return
    audience = caller.get(where)["identifier"]
    named = caller.get("delegations", audience=audience, state="live", limit=_NAMED)
    those = ", ".join(each["slug"] or each["id"] for each in named["items"])
    if those:
        more = " and others" if named["next"] else ""
        output.note(f"Live trust delegations still name the API's audience {audience}: {those}{more}.")


def _changed(api: Mapping[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return the fields to change. Options take ACTION=DESCRIPTION, but `--remove-action` takes only ACTION."""
    edit: ListEdit = asked["actions"]
    whole, added = dict(map(_described, edit.whole)), dict(map(_described, edit.added))
    described = {each["action"]: each["description"] for each in api["actions"]}
    names = replace(edit, whole=(*whole,), added=(*added,)).of([*described])
    described |= whole | added
    actions = None if names is None else _with_descriptions((name, described[name]) for name in names)
    return {**asked, "actions": actions}


def _with_descriptions(actions: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"action": action, "description": description} for action, description in actions]


def _described(text: str) -> tuple[str, str]:
    """Split the text into an action and its description."""
    action, equals, description = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no description: write ACTION=DESCRIPTION.", param_hint="--action")
    return action, description


def _following(api: Mapping[str, Any], last: str = "") -> Text:
    """Describe whether the API follows revocations.

    "follows": the API authenticated with a credential. "says it follows": the API only claims to follow.
    """
    its = api["revocations"]
    if not its["following"]:
        return styled(f"does not follow{last}" if its["seen_at"] else "not seen yet", "yellow")
    return styled("follows", "green") if its["proved"] else styled("says it follows", "")


def _shown(api: Mapping[str, Any]) -> list[Table | Text | str]:
    facts = {
        "api": api["slug"],
        "name": api["name"],
        "audience": api["identifier"],
        **text_rows(_TEXTS, api),
        "signing algorithm": api["signing_algorithm"],
        "revocations": _following(api, f", last seen {when(api['revocations']['seen_at'])} UTC"),
        "id": api["id"],
        "created": f"{when(api['created_at'])} UTC",
    }
    rows = [(each["action"], each["description"]) for each in api["actions"]]
    return [block(facts), "", table(("ACTION", "MEANS"), rows)] if rows else [block(facts)]


_API = Resource(
    path="apis/{api}",
    accepts="API is the API's slug or id.",
    columns={
        "API": "slug",
        "AUDIENCE": "identifier",
        "REVOCATIONS": _following,
        "LAST SEEN (UTC)": lambda api: when(api["revocations"]["seen_at"]),
        "ACTIONS": lambda api: [each["action"] for each in api["actions"]],
    },
    whole="API",
    shown=_shown,
)


@click.group(cls=Commands)
def apis() -> None:
    """Manage protected APIs: their audiences and the meaning of each action."""


for command in (
    _API.create_command(
        "Register the API NAME.",
        click.option("--identifier", required=True, help="The audience: the API's URL, or a registered name."),
        click.option("--action", "actions", multiple=True, help='"customers:read=Read a customer". Can be repeated.'),
        slug_option,
        text_options(*_TEXTS),
        click.option(
            "--signing-algorithm",
            type=ALGORITHMS,
            help="Algorithm that signs tokens for the API. EdDSA means Ed25519. [default: RS256]",
        ),
        change=lambda asked: {**asked, "actions": _with_descriptions(map(_described, asked["actions"]))},
    ),
    _API.list_command("List the APIs with their audiences."),
    _API.show_command("Show one API with the actions that it describes."),
    _API.edit_command(
        """Change an API.

        Fields without an option stay as they are. `--remove-action` takes only the name of the action.
        `--add-action` with an existing action replaces the description of the action.
        """,
        name_option,
        click.option("--identifier", help="New audience. Existing trust delegations keep the old audience."),
        text_options(*_TEXTS, editing=True),
        click.option("--signing-algorithm", type=ALGORITHMS, help="Algorithm for tokens that are issued from now on."),
        list_options("action", "actions", '"customers:read=Read a customer"'),
        change=_changed,
    ),
    _API.delete_command(
        """Delete an API, its action descriptions and its credentials.

        Trust delegations that name the API's audience keep the audience, and tokens for the audience stay valid.
        The command first lists these delegations.
        """,
        done="The API {slug} is deleted. Tokens for {identifier} stay valid.",
        before=_say_who_names_it,
    ),
    create_credential,
    list_credentials,
    _CREDENTIAL.verb_command(
        "revoke",
        """Revoke a credential of an API permanently.

        ID is the id or the name of the credential, as `credentials` shows them. No token is revoked.
        """,
        name="revoke-credential",
        question="Revoke the credential {id} of {api} permanently?",
        for_good=True,
        done="The credential {name} of {api} is revoked. No token was revoked.",
    ),
):
    apis.add_command(command)
