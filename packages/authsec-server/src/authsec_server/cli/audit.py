"""`authsec audit`: what happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from authsec_server.cli.caller import Caller, admin_command
from authsec_server.cli.output import Output, table


@click.group()
def audit() -> None:
    """What happened: who was given what, who was refused, who changed what."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many, the newest.")
@click.option("--request-id", help="Only what happened in this request.")
@admin_command
def list_events(caller: Caller, output: Output, limit: int, request_id: str | None) -> None:
    """List the newest events, oldest first."""
    answer = caller.get("events", limit=limit, request_id=request_id)
    rows = [
        (event["at"], event["kind"], who(event), about(event), event["request_id"])
        for event in reversed(answer["items"])
    ]
    output.result(answer, table(("AT", "EVENT", "WHO", "WHAT", "REQUEST"), rows))


def who(event: Mapping[str, Any]) -> str:
    """Who acted: the agent, an administrator, or a stranger at an address."""
    for party in (event["principal"], event["client"]):
        if party:
            return str(party["name"] or party["id"])
    return str(event["address"])


def about(event: Mapping[str, Any]) -> str:
    """What it was about, in one line."""
    if event["kind"] == "token.issued":
        return " ".join(event["detail"]["actions"])
    if event["decision"] == "denied":
        times = f" x{event['count']}" if event["count"] > 1 else ""
        return f"{event['reason']}{times}"
    things = [*event["delegations"], *event["roles"]] or [event["client"], event["subject"]]
    return ", ".join(thing["name"] for thing in things[:1] if thing) or event["reason"]
