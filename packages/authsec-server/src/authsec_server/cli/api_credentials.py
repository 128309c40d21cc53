"""An API's own credential on the command line: shown once or put into a file, listed, revoked."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from authsec.api_credential import VARIABLE
from authsec.config import export_line

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.changing import change_command
from authsec_server.cli.ending import ask_for_good, yes_option
from authsec_server.cli.output import Output, styled, table, when
from authsec_server.cli.secret_files import in_two_steps, kept
from authsec_server.cli.units import DURATION


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
    """Make a credential of an API, by which it asks whether tokens count. API is its slug or id.

    It is shown once, alone on stdout; the authority keeps only a hash of it. An API has two at most: the one in use and
    the next.
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
    """List the credentials of an API, the oldest first; those that have ended as well. API is its slug or id."""
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
    """Let a credential prove nothing any more. API is a slug or id, ID the credential's, as `credentials` shows it."""
    where = path("apis", api, "credentials", id_, "revoke")
    ask_for_good(caller, output, where, f"Revoke this credential of {api} for good?", yes=yes)
    revoked = caller.post(where)
    output.result(revoked, f"The credential {revoked['name']} of {api} is revoked. It ended no token.")


COMMANDS = (create_credential, list_credentials, revoke_credential)


def _state(credential: Mapping[str, Any]) -> object:
    return credential["state"] if credential["state"] == "stands" else styled(credential["state"], "red")
