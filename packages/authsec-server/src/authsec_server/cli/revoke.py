"""`authsec revoke`: what a security officer stops at night, in one place: an agent, a trust delegation, one token."""

from __future__ import annotations

import sys

import click
from authsec.lazy_commands import Commands
from rich.text import Text

from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import ask_first, change_command, foreseen, reason_option, say, yes_option
from authsec_server.cli.delegations import revoke_delegation
from authsec_server.cli.output import Output, harmless, when

_MOST = 32_768  # characters read from stdin: more than any token has


class _Revoke(Commands):
    """Says what can be named. What was typed instead is not repeated: it may be a token."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.get_command(ctx, args[0]) is not None or args[0].startswith("-")
        if not known and not ctx.resilient_parsing:  # a shell that completes is told nothing
            raise click.UsageError("Revoke what? Write `agent NAME`, `delegation NAME`, or `token JTI`.", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Revoke)
def revoke() -> None:
    """Stop an agent, a trust delegation or one token, now.

    Of an administrator: authsec admin revoke-grants. Of a signing key: authsec keys revoke.
    """


revoke.add_command(revoke_delegation, "delegation")


@revoke.command("agent")
@click.argument("agent")
@yes_option
@change_command
def revoke_agent(caller: Caller, output: Output, agent: str, yes: bool) -> None:
    """Stop an agent: all its tokens end, and it gets no more until somebody enables it. AGENT is its slug or client_id.

    What stops is said first. Codes for enrolling a laptop as this agent end, too. APIs that do not follow revocations
    take a token that is out until it expires.
    """
    where = path("clients", agent, "disable")
    ask_first(caller, output, where, f"Stop {agent}?", yes=yes)
    its = caller.post(where)
    undone = caller.follow_up("agents", "enable", its["slug"])
    output.result(
        its,
        f"{its['name']} is stopped: it is disabled, its tokens have ended, and it gets no more.",
        Text.assemble(("To let it work again (tokens that have ended stay so): ", "dim"), harmless(undone)),
    )


@revoke.command("token")
@click.argument("which", metavar="JTI|-")
@reason_option
@change_command
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
