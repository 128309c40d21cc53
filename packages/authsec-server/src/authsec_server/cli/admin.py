"""`authsec admin`: who may administer."""

from __future__ import annotations

import click

from authsec_server.cli.caller import Caller, admin_command
from authsec_server.cli.output import Output
from authsec_server.cli.units import DURATION


@click.group()
def admin() -> None:
    """Who may administer."""


@admin.command("create-key")
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), default="admin", show_default=True)
@click.option("--expires", type=DURATION, help="How long it lasts, e.g. 90d. [default: until it is revoked]")
@admin_command
def create_key(caller: Caller, output: Output, name: str, role: str, expires: int | None) -> None:
    """Make an admin key, for the command line elsewhere and for programs.

    It is printed once, alone on stdout; the authority keeps only a hash of it.
    """
    key = caller.post("admin-keys", {"name": name, "role": role, "expires_in": expires})
    output.result(key, key["key"])
    if not output.as_json:
        until = f"until {key['expires_at']}" if key["expires_at"] else "until it is revoked"
        output.note(f"This key is shown once. It is good {until}. To use it:")
        output.note("  export AUTHSEC_BASE_URL=…  AUTHSEC_ADMIN_KEY=<the key>")
