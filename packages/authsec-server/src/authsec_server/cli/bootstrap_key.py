"""`authsec admin bootstrap-key`: create an admin key before the authority exists. The command contacts no server."""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path

import click

from authsec_server.accounts.model import new_admin_key
from authsec_server.cli.files import in_two_steps, kept


@click.command("bootstrap-key")
@click.option(
    "--to-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the key to this new file, which only you can read, instead of printing the key.",
)
def bootstrap_key(to_file: Path | None) -> None:
    """Print a new admin key that no authority knows yet, for AUTHSEC_SERVER_BOOTSTRAP_KEY_FILE.

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
