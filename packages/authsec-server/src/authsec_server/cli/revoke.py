"""`authsec revoke`: stop an agent, a trust delegation or one token in an emergency."""

from __future__ import annotations

import sys

import click
from authsec.lazy_commands import Commands
from rich.text import Text

from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import (
    change_command,
    confirm_with_impact,
    dry_run_of,
    print_impact,
    reason_option,
    revocation_text,
    yes_option,
)
from authsec_server.cli.delegations import revoke_delegation
from authsec_server.cli.output import Output, harmless, when

_MOST = 32_768  # characters read from stdin; every token is shorter


class _Revoke(Commands):
    """A command group. The error for an unknown subcommand lists the possible subcommands.

    The error does not repeat the unknown word, because the word can be a token.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.get_command(ctx, args[0]) is not None or args[0].startswith("-")
        if not known and not ctx.resilient_parsing:  # print nothing during shell completion
            raise click.UsageError("Revoke what? Write `agent NAME`, `delegation NAME`, or `token JTI`.", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Revoke)
def revoke() -> None:
    """Stop an agent, a trust delegation or one token at once.

    To revoke the delegations of an administrator: authsec admin revoke-grants. To revoke a signing key: authsec
    keys revoke.
    """


revoke.add_command(revoke_delegation, "delegation")


@revoke.command("agent")
@click.argument("agent")
@yes_option
@change_command
def revoke_agent(caller: Caller, output: Output, agent: str, yes: bool) -> None:
    """Stop an agent: revoke its tokens, and issue none until it is enabled. AGENT is the agent's slug or client_id.

    The command shows the impact first. Enrolment codes, which enrol a laptop as this agent, become invalid too.
    APIs that do not follow revocations accept an issued token until the token expires.
    """
    where = path("clients", agent, "disable")
    planned = confirm_with_impact(caller, output, where, f"Stop {agent}?", yes=yes)
    its = caller.post(where)
    undone = caller.follow_up("agents", "enable", its["slug"])
    output.result(
        its,
        f"{its['name']} is disabled"
        + revocation_text(planned, ", its tokens are revoked, and it gets no more tokens.", " and gets no more tokens"),
        Text.assemble(("To enable the agent again (old tokens stay revoked): ", "dim"), harmless(undone)),
    )


@revoke.command("token")
@click.argument("which", metavar="JTI|-")
@reason_option
@change_command
def revoke_token(caller: Caller, output: Output, which: str, reason: str) -> None:
    """Revoke one token at every API that follows revocations. The agent can request another token.

    JTI is the claim `jti` of the token, as `authsec audit list` shows it. With `-`, the command reads the token
    from stdin. A token among the arguments would be visible in the process list and in the shell's history.
    """
    if "." in which:
        raise click.UsageError("This looks like a token. Pass it on stdin: authsec revoke token - < FILE")
    asked = {"token": _read()} if which == "-" else {"jti": which}
    planned = dry_run_of(caller, "tokens/revoke", asked)
    its = caller.post("tokens/revoke", {**asked, "reason": reason})
    name = its["client"]["name"] if its["client"] else "an agent"
    if its["already"]:
        output.result(its, f"The token {its['jti']} of {name} was already revoked, at {when(its['ended_at'])} UTC.")
        return
    if not output.as_json:
        print_impact(caller, output, planned)
    output.result(
        its,
        f"The token {its['jti']} of {name} {revocation_text(planned, 'has ended.', 'is revoked', 'the token')}",
    )


def _read() -> str:
    if sys.stdin.isatty():
        click.echo("Paste the token, then press Enter and Ctrl-D.", err=True)
    return sys.stdin.read(_MOST)
