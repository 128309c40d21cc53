"""`authsec admin`: manage admin keys. The commands for administrators are in `administrators.py`."""

from __future__ import annotations

from urllib.parse import urlsplit

import click
from authsec.config import export_line, is_loopback
from authsec.lazy_commands import Commands, LazyCommand

from authsec_server.accounts.model import is_admin_key
from authsec_server.cli import administrators
from authsec_server.cli.bootstrap_key import bootstrap_key
from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import change_command, confirm_permanent, yes_option
from authsec_server.cli.output import Output, styled, time_of, when
from authsec_server.cli.params import DURATION
from authsec_server.cli.resource import Resource


@click.group(cls=Commands)
def admin() -> None:
    """Manage administrators and admin keys."""


@admin.command("create-key")
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), default="admin", show_default=True)
@click.option(
    "--expires", type=DURATION, help="How long the key is valid, e.g. 90d. [default: until somebody revokes the key]"
)
@change_command
def create_key(caller: Caller, output: Output, name: str, role: str, expires: int | None) -> None:
    """Create an admin key, for programs and for the command line on another machine.

    The command prints the key once, alone on stdout. The authority stores only a hash of the key.
    """
    key = caller.post("admin-keys", {"name": name, "role": role, "expires_in": expires})
    if not output.as_json:
        until = f"until {when(key['expires_at'])} UTC" if key["expires_at"] else "until it is revoked"
        if role == "admin" and expires is None:
            output.note(
                "This key has all rights and does not expire. For a more limited key: --role operator --expires 30d"
            )
        output.note(f"The admin key {key['name']} ({key['role']}) is valid {until}. It is shown only once:")
    output.result(key, key["key"])
    if not output.as_json:
        address = caller.address
        here = is_loopback(urlsplit(address).hostname or "")
        output.note("To use it on this machine:" if here else "To use it on another machine:")
        output.note(f"    {export_line('AUTHSEC_BASE_URL', address)}")
        # Not the key once more: where stdout is kept to be read, stderr is kept to be logged.
        output.note(f"    {export_line('AUTHSEC_ADMIN_KEY', 'authsec_…')}")


@admin.command("revoke-key")
@click.argument("key_", metavar="KEY")
@yes_option
@change_command
def revoke_key(caller: Caller, output: Output, key_: str, yes: bool) -> None:
    """Revoke an admin key permanently. KEY is the name or id of the key, as `list-keys` shows them."""
    if is_admin_key(key_):  # it would stand in an address, and in logs on the way
        raise click.UsageError(
            "This is the key itself. Give the key's name or id, as `authsec admin list-keys` shows them."
        )
    where = path("admin-keys", key_, "revoke")
    confirm_permanent(caller, output, where, f"Revoke the admin key {key_} permanently?", yes=yes)
    key = caller.post(where)
    output.result(key, f"The admin key {key['name']} is revoked.")


_STATES = {
    "active": "active",
    "expires_soon": styled("expires soon", "yellow"),
    "expired": styled("expired", "red"),
    "revoked": styled("revoked", "red"),
}
_KEY = Resource(
    path="admin-keys/{key}",
    columns={
        "NAME": "name",
        "ROLE": "role",
        "STATE": lambda key: _STATES[key["state"]],
        "EXPIRES (UTC)": time_of("expires_at"),
        "LAST USED (UTC)": time_of("last_used_at"),
        "ID": "id",
    },
    whole="ID",
)
_RESTORED = LazyCommand(
    "restored",
    "Record that this database was restored from a backup.",
    "authsec_server.cli.restore:restored",  # the whole server comes with it
)
for command in (
    _KEY.list_command("List the admin keys by name, including revoked keys.", name="list-keys"),
    bootstrap_key,
    _RESTORED,
    *administrators.COMMANDS,
):
    admin.add_command(command)
