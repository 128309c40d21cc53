"""`authsec revoke`: one token, wherever it turned up. What it rests on is ended by the commands of those things."""

from __future__ import annotations

import sys

import click

from authsec_server.cli.caller import Caller, admin_command
from authsec_server.cli.ending import foreseen, reason_option, say
from authsec_server.cli.output import Output, when

_MOST = 32_768  # characters read from stdin: more than any token has


@click.group()
def revoke() -> None:
    """End what was given out already."""


@revoke.command("token")
@click.argument("which", metavar="JTI|-")
@reason_option
@admin_command
def revoke_token(caller: Caller, output: Output, which: str, reason: str) -> None:
    """End one token, at every API that follows revocations; its agent gets another when it asks.

    JTI is its claim `jti`, as `authsec audit list` shows it; with `-` the token itself is read from stdin. A token
    among the arguments would be seen in the list of processes and kept in the shell's history.
    """
    if "." in which:
        raise click.UsageError("This looks like a token. Pass it on stdin: authsec revoke token - < FILE")
    asked = {"token": _read()} if which == "-" else {"jti": which}
    told = foreseen(caller, "tokens/revoke", asked)
    ended = caller.post("tokens/revoke", {**asked, "reason": reason})
    name = ended["client"]["name"] if ended["client"] else "an agent"
    if ended["already"]:
        output.result(ended, f"The token {ended['jti']} of {name} had ended already, at {when(ended['ended_at'])} UTC.")
        return
    if not output.as_json:
        say(caller, output, told)
    output.result(ended, f"The token {ended['jti']} of {name} has ended.")


def _read() -> str:
    if sys.stdin.isatty():
        click.echo("Paste the token, then press Enter and Ctrl-D.", err=True)
    return sys.stdin.read(_MOST)
