"""`authsec agents enrolment` and `enrolments`: one-time codes that let a laptop run as an agent for some hours."""

from __future__ import annotations

import click
from authsec.config import export_line
from authsec.terminal import command_line

from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import change_command
from authsec_server.cli.output import Output, styled, table, when
from authsec_server.clients.enrolment import DEFAULT_HOURS, MAX_HOURS


@click.command("enrolment")
@click.argument("agent")
@click.option(
    "--hours",
    type=click.IntRange(1, MAX_HOURS),
    default=DEFAULT_HOURS,
    show_default=True,
    help="How long the machine can act as the agent.",
)
@change_command
def enrolment(caller: Caller, output: Output, agent: str, hours: int) -> None:
    """Create a one-time code that lets a laptop run as an agent for some hours. AGENT is the agent's slug or client_id.

    The command prints the lines to run on the laptop. The code works once, within 15 minutes, and is never
    shown again.
    """
    made = caller.post(path("clients", agent, "enrolments"), {"hours": hours})
    where = (
        f"Run these lines before {when(made['expires_at'])} UTC, on the laptop that will act as {made['slug']} "
        f"for {hours} h:"
    )
    output.result(
        made,
        styled(where, "dim"),
        f"  {export_line('AUTHSEC_BASE_URL', caller.address)}",
        f"  {export_line('AUTHSEC_AGENT_CLIENT_ID', made['client_id'])}",
        f"  {command_line('enrol', made['code'])}",
    )
    output.note(
        "Anybody with the code can act as this agent: give the code only to the agent's developer. The code works once."
    )


@click.command("enrolments")
@click.argument("agent")
@click.option(
    "--take-back", "taken", metavar="ID", help="Cancel the code with this id: nobody can use the code any more."
)
@change_command
def enrolments(caller: Caller, output: Output, agent: str, taken: str | None) -> None:
    """List the unused enrolment codes of an agent, or cancel one of them. AGENT is the agent's slug or client_id."""
    codes = path("clients", agent, "enrolments")
    said = []
    if taken is not None:
        caller.post(f"{codes}/{path(taken)}/take-back")
        said.append("The code is cancelled: nobody can use it any more.")
    answer = caller.get(codes)
    rows = [
        (each["made_by"], f"{each['hours']} h", when(each["created_at"]), when(each["expires_at"]), each["id"])
        for each in answer["items"]
    ]
    heads = ("MADE BY", "FOR", "MADE (UTC)", "ENDS (UTC)", "ID")
    output.result(answer, *said, table(heads, rows, whole=("ID",)))
