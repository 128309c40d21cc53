"""`authsec admin`: administrators, their invitations and sign-in URLs; admin keys."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from authsec.config import export_line, is_loopback
from authsec.lazy_commands import Commands, LazyCommand

from authsec_server.accounts.model.admin_keys import is_admin_key, new_admin_key
from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import (
    change_command,
    confirm,
    confirm_permanent,
    dry_run_of,
    local_change_command,
    print_impact,
    repeat_text,
    yes_option,
)
from authsec_server.cli.files import in_two_steps, kept
from authsec_server.cli.output import Output, styled, time_of, when
from authsec_server.cli.params import DURATION
from authsec_server.cli.resource import Resource
from authsec_server.console.addresses import REMEDY, is_plain_http

ROLES = click.Choice(["viewer", "operator", "admin"])
public_url_option = click.option("--public-url", help="URL where people reach the console. [default: the server's URL]")


@click.group(cls=Commands)
def admin() -> None:
    """Manage administrators and admin keys."""


@click.command("setup-url")
@click.option(
    "--email",
    help="E-mail address of an administrator who lost the password. The password and the sessions are revoked at once.",
)
@click.option(
    "--sign-in", "signs_in", is_flag=True, help="Create a URL that signs the administrator of --email in, once."
)
@public_url_option
@local_change_command
def setup_url(caller: Caller, output: Output, email: str | None, signs_in: bool, public_url: str | None) -> None:
    """Create a URL for the first administrator, or for an administrator who lost the password.

    The command works only on the server's machine and prints the URL alone on stdout. The URL works once,
    within 15 minutes. Anybody who has the URL can sign in with it.
    """
    if signs_in and email is None:
        raise click.UsageError("--sign-in needs --email: say which administrator may sign in.")
    caller.reach.console_address()  # refuse before the change
    purpose = "first_administrator" if email is None else "sign_in" if signs_in else "set_password"
    link = caller.post("setup-links", {"purpose": purpose, "email": email})
    if not output.as_json:
        output.note(
            f"{_GOOD_FOR[purpose].format(email=email)} The URL works once, until {when(link['expires_at'])} UTC:"
        )
    _show(caller, output, link, link, public_url)


@click.command("invite")
@click.argument("email")
@click.option("--name", required=True, help="The person's name in lists and in the audit log.")
@click.option("--role", type=ROLES, required=True)
@public_url_option
@change_command
def invite(caller: Caller, output: Output, email: str, name: str, role: str, public_url: str | None) -> None:
    """Invite an administrator, and print the URL for choosing a password alone on stdout."""
    caller.reach.console_address()  # refuse before the change
    invited = caller.post("administrators", {"email": email, "name": name, "role": role})
    if not output.as_json:
        until = when(invited["link"]["expires_at"])
        output.note(
            f"{invited['email']} is invited as {role}. Send this URL only to that person. The URL works once, "
            f"until {until} UTC:"
        )
    _show(caller, output, invited, invited["link"], public_url)


@click.command("revoke-grants")
@click.argument("email", required=False)
@click.option("--key", "key_id", help="Id of an admin key, as `list-keys` shows it, instead of EMAIL.")
@click.option(
    "--also-changed-since",
    is_flag=True,
    help="Also revoke delegations that somebody else has changed after this administrator.",
)
@yes_option
@change_command
def revoke_grants(
    caller: Caller, output: Output, email: str | None, key_id: str | None, also_changed_since: bool, yes: bool
) -> None:
    """Revoke permanently all trust delegations of a compromised administrator or admin key.

    The command revokes each delegation that the administrator created. The command also revokes each delegation
    that the administrator edited or enabled, if nobody has changed the delegation since. The command only lists
    delegations that somebody else changed later. Such a delegation can still contain authority that the
    administrator added. With --also-changed-since, the command revokes such delegations too.

    First run `disable` or `revoke-key`, or the attacker can create new delegations. Other changes by the
    administrator stay in effect; `authsec audit list` shows them.
    """
    if (email is None) == (key_id is None):
        raise click.UsageError("Give either an administrator's EMAIL or --key ID.")
    where = (
        path("administrators", email, "revoke-grants") if email else path("admin-keys", key_id or "", "revoke-grants")
    )
    body = {"also_changed_since": also_changed_since}
    planned = dry_run_of(caller, where, body)
    would = planned["would_answer"]
    held = would["revoked"]
    if not (output.as_json and yes):
        _list_grants(output, would)
        if held:
            print_impact(caller, output, planned)
    if held:
        confirm(
            f"Revoke these {len(held)} delegations permanently?"
            if len(held) > 1
            else "Revoke this delegation permanently?",
            yes=yes,
        )
    revoked = caller.post(where, body) if held else would
    number = len(revoked["revoked"])
    none = (
        "There are no other delegations to revoke." if would["changed_since"] else "There are no delegations to revoke."
    )
    output.result(revoked, f"{number} trust delegation{'' if number == 1 else 's'} revoked." if number else none)


_GOOD_FOR = {
    "first_administrator": "This URL creates the first administrator.",
    # This text is also true for a second URL, and for an administrator who never had a password.
    "set_password": "{email} now has no password and no session. This URL sets a new password.",
    "sign_in": "This URL signs {email} in.",
}


def _show(
    caller: Caller, output: Output, answer: Mapping[str, Any], link: dict[str, Any], public_url: str | None
) -> None:
    """Print the URL alone on stdout, and notes on stderr."""
    if public_url is not None:
        link["url"] = public_url.rstrip("/") + link["path"]
    output.result(answer, link["url"])
    if output.as_json:
        return
    if is_plain_http(link["url"]):
        output.note(f"! The console does not work over plain http, so this URL is refused. {REMEDY}")
    elif public_url is None and (address := caller.reach.silent_address()):  # the last server's address
        output.note(
            f"No server answers at {address}. Start a server at this address, or give the address of another "
            "server: --public-url URL"
        )
    elif is_loopback(urlsplit(link["url"]).hostname or ""):
        output.note("If people reach the authority at another address: --public-url URL")


def _list_grants(output: Output, planned: Mapping[str, Any]) -> None:
    """List the delegations to revoke, and the delegations that stay because somebody else changed them later."""
    for each in planned["revoked"]:
        output.note(f"  {_grant(each)}")
    if planned["changed_since"]:
        output.note(
            "The same administrator or admin key also changed these delegations. Somebody else has changed them since. "
            "To revoke them as well: --also-changed-since"
        )
    for each in planned["changed_since"]:
        output.note(f"  {_grant(each)} ({each['state']}), changed last by {each['changed_by']}")


def _grant(each: Mapping[str, Any]) -> str:
    return f"{each['id']}  {each['role']['slug']} → {each['client']['slug']}"


def _state(administrator: Mapping[str, Any]) -> object:
    if administrator["disabled_at"]:
        return styled("disabled", "red")
    return "active" if administrator["has_password"] or administrator["issuer"] else "invited"


def _way_in(administrator: Mapping[str, Any]) -> object:
    return administrator["issuer"] or ("password" if administrator["has_password"] else None)


_ADMINISTRATOR = Resource(
    path="administrators/{email}",
    columns={
        "E-MAIL": "email",
        "NAME": "name",
        "ROLE": "role",
        "STATE": _state,
        "SIGNS IN BY": _way_in,
        "2ND FACTOR": lambda administrator: "on" if administrator["has_second_factor"] else None,
        "LAST SIGN-IN (UTC)": time_of("last_sign_in_at"),
    },
    whole="E-MAIL",
)


@admin.command("create-key")
@click.argument("name")
@click.option("--role", type=ROLES, default="admin", show_default=True)
@click.option(
    "--expires", type=DURATION, help="How long the key is valid, e.g. 90d. [default: until somebody revokes the key]"
)
@change_command
def create_key(caller: Caller, output: Output, name: str, role: str, expires: int | None) -> None:
    """Create an admin key, for programs and for the command line on another machine.

    The command prints the key once, alone on stdout. The authority stores only a hash of the key.
    """
    address = "" if output.as_json else caller.console_address  # refuse before the change
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
        here = is_loopback(urlsplit(address).hostname or "")
        output.note("To use the key on this machine:" if here else "To use the key on another machine:")
        output.note(f"    {export_line('AUTHSEC_BASE_URL', address)}")
        # Do not print the key on stderr: logs often store stderr.
        output.note(f"    {export_line('AUTHSEC_ADMIN_KEY', 'authsec_…')}")


@admin.command("revoke-key")
@click.argument("key_", metavar="KEY")
@yes_option
@change_command
def revoke_key(caller: Caller, output: Output, key_: str, yes: bool) -> None:
    """Revoke an admin key permanently. KEY is the name or id of the key, as `list-keys` shows them."""
    if is_admin_key(key_):  # the key would be in the URL of the request, and so in the logs of proxies
        raise click.UsageError(
            "This is the key itself. Give the key's name or id, as `authsec admin list-keys` shows them."
        )
    where = path("admin-keys", key_, "revoke")
    planned = confirm_permanent(caller, output, where, f"Revoke the admin key {key_} permanently?", yes=yes)
    key = caller.post(where)
    output.result(key, f"The admin key {key['name']} is revoked.{repeat_text(planned)}")


@click.command("bootstrap-key")
@click.option(
    "--to-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the key to this new file, which only you can read, instead of printing the key.",
)
def bootstrap_key(to_file: Path | None) -> None:
    """Print a new admin key for AUTHSEC_SERVER_BOOTSTRAP_KEY_FILE.

    A server that starts with this setting accepts the key in the file as an admin key. The key is active for
    AUTHSEC_SERVER_BOOTSTRAP_KEY_LIFETIME, by default one day. The command contacts no server. A deployment can
    therefore create the key before the server exists. The deployment can then pass the key to the server and to
    its clients.
    """
    made = kept(
        to_file,
        lambda: {"key": new_admin_key(secrets.token_bytes)},
        member="key",
        taken=in_two_steps(to_file, "--to-file"),
        another=lambda _: f"authsec admin bootstrap-key --to-file {shlex.quote(str(to_file))}",
    )
    if to_file is None:
        click.echo(made["key"])
        return
    click.echo(f"A new admin key is in {to_file}. A server accepts the key if the server starts with:", err=True)
    click.echo(f"  AUTHSEC_SERVER_BOOTSTRAP_KEY_FILE={shlex.quote(str(to_file.absolute()))}", err=True)


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
    "authsec_server.cli.restore:restored",  # imports the whole server
)
for command in (
    _KEY.list_command("List the admin keys by name, including revoked keys.", name="list-keys"),
    bootstrap_key,
    _RESTORED,
    setup_url,
    invite,
    _ADMINISTRATOR.list_command("List the administrators by e-mail address."),
    _ADMINISTRATOR.edit_command(
        """Change the role of an administrator. A lower role ends the administrator's sessions at once.

        At least one admin who can sign in must remain. The role of an administrator who signs in with an OpenID
        provider comes from the provider.
        """,
        click.argument("role", type=ROLES),
        name="change-role",
        done="{email} has the role {role}.",
    ),
    _ADMINISTRATOR.edit_command(
        "Change an administrator's name in lists and in the audit log.",
        click.argument("name"),
        name="rename",
        done="{email} now has the name {name}.",
        asks=False,
    ),
    _ADMINISTRATOR.verb_command(
        "disable",
        "Disable an administrator, and end the administrator's sessions at once.",
        done="{email} is disabled.",
    ),
    _ADMINISTRATOR.verb_command(
        "enable", "Enable a disabled administrator. The administrator can sign in again.", done="{email} is enabled."
    ),
    _ADMINISTRATOR.verb_command(
        "end-sessions",
        "End all sessions of an administrator. The administrator can sign in again.",
        done="{email} is signed out everywhere.",
    ),
    _ADMINISTRATOR.verb_command(
        "reset-second-factor",
        "Remove the second factor of an administrator who lost the phone. Works on the server's machine.",
        done="{email} has no second factor and is signed out everywhere. The password is still valid.",
    ),
    revoke_grants,
):
    admin.add_command(command)
