"""`authsec agents enrolment`: a one-time code by which a laptop may be an agent for some hours."""

from __future__ import annotations

import click
from authsec.config import export_line
from authsec.terminal import command_line

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.output import Output, styled, when
from authsec_server.clients.enrolment import DEFAULT_HOURS, MAX_HOURS


@click.command("enrolment")
@click.argument("agent")
@click.option(
    "--hours",
    type=click.IntRange(1, MAX_HOURS),
    default=DEFAULT_HOURS,
    show_default=True,
    help="How long the machine may be the agent.",
)
@admin_command
def enrolment(caller: Caller, output: Output, agent: str, hours: int) -> None:
    """Make a one-time code by which a laptop may run an agent for some hours. AGENT is its slug or client_id.

    Prints the lines to run on the laptop. The code is good once, for 15 minutes, and shown this once.
    """
    made = caller.post(path("clients", agent, "enrolments"), {"hours": hours})
    where = f"On the laptop that shall be {made['slug']} for {hours} h, before {when(made['expires_at'])} UTC:"
    output.result(
        made,
        styled(where, "dim"),
        f"  {export_line('AUTHSEC_BASE_URL', caller.address)}",
        f"  {export_line('AUTHSEC_AGENT_CLIENT_ID', made['client_id'])}",
        f"  {command_line('enrol', made['code'])}",
    )
    output.note("Whoever has the code may be this agent: give it to its developer only. It is good once.")
