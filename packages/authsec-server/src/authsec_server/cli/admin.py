"""`authsec admin`: manage admin keys. The commands for administrators are in `administrators.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import click
from authsec.config import export_line, is_loopback
from authsec.lazy_commands import Commands, LazyCommand

from authsec_server.accounts.model import is_admin_key
from authsec_server.cli import administrators
from authsec_server.cli.bootstrap_key import bootstrap_key
from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import ask_for_good, change_command, yes_option
from authsec_server.cli.output import Output, styled, table, when
from authsec_server.cli.paging import Paged, note_more, page_options
from authsec_server.cli.params import DURATION


@click.group(cls=Commands)
def admin() -> None:
    """Manage administrators and admin keys."""


@admin.command("create-key")
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), default="admin", show_default=True)
@click.option("--expires", type=DURATION, help="How long it lasts, e.g. 90d. [default: until it is revoked]")
@change_command
def create_key(caller: Caller, output: Output, name: str, role: str, expires: int | None) -> None:
    """Create an admin key, for programs and for the command line on another machine.

    The command prints the key once, alone on stdout. The authority stores only a hash of the key.
    """
    key = caller.post("admin-keys", {"name": name, "role": role, "expires_in": expires})
    if not output.as_json:
        until = f"until {when(key['expires_at'])} UTC" if key["expires_at"] else "until it is revoked"
        if role == "admin" and expires is None:
            output.note("It may do everything, for good: --role operator and --expires 30d would make a smaller one.")
        output.note(f"The admin key {key['name']} ({key['role']}) is good {until}. It is shown this once:")
    output.result(key, key["key"])
    if not output.as_json:
        address = caller.address
        here = is_loopback(urlsplit(address).hostname or "")
        output.note("To use it on this machine:" if here else "To use it from elsewhere:")
        output.note(f"    {export_line('AUTHSEC_BASE_URL', address)}")
        # Not the key once more: where stdout is kept to be read, stderr is kept to be logged.
        output.note(f"    {export_line('AUTHSEC_ADMIN_KEY', 'authsec_…')}")


@admin.command("list-keys")
@page_options
@admin_command
def list_keys(caller: Caller, output: Output, paged: Paged) -> None:
    """List the admin keys by name, including revoked keys."""
    answer = paged.of(caller, "admin-keys")
    heads = ("NAME", "ROLE", "STATE", "EXPIRES (UTC)", "LAST USED (UTC)", "ID")
    rows = [
        (key["name"], key["role"], _state(key), when(key["expires_at"]), when(key["last_used_at"]), key["id"])
        for key in answer["items"]
    ]
    output.result(answer, table(heads, rows, whole=("ID",)))
    note_more(output, answer)


@admin.command("revoke-key")
@click.argument("key_", metavar="KEY")
@yes_option
@change_command
def revoke_key(caller: Caller, output: Output, key_: str, yes: bool) -> None:
    """Revoke an admin key for good. KEY is its name or id, as `list-keys` shows them."""
    if is_admin_key(key_):  # it would stand in an address, and in logs on the way
        raise click.UsageError("That is the key itself. Give its name or id, as `authsec admin list-keys` shows them.")
    where = path("admin-keys", key_, "revoke")
    ask_for_good(caller, output, where, f"Revoke the admin key {key_} for good?", yes=yes)
    key = caller.post(where)
    output.result(key, f"The admin key {key['name']} is revoked.")


_RESTORED = LazyCommand(
    "restored",
    "Record that this database was restored from a backup.",
    "authsec_server.cli.restore:restored",  # the whole server comes with it
)
for command in (bootstrap_key, _RESTORED, *administrators.COMMANDS):
    admin.add_command(command)


def _state(key: Mapping[str, Any]) -> object:
    return _STATES[key["state"]]


_STATES = {
    "active": "active",
    "expires_soon": styled("expires soon", "yellow"),
    "expired": styled("expired", "red"),
    "revoked": styled("revoked", "red"),
}
