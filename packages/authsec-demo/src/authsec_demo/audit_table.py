"""The audit trail as a table that fits 80 columns: when, what, by whom, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text


def audit_table(events: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each event, oldest first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("event", no_wrap=True)
    table.add_column("by", no_wrap=True)
    table.add_column("what")
    for event in events:
        table.add_row(*map(Text, (_time(event), event["kind"], _by(event), _what(event))))
    return table


def _time(event: Mapping[str, Any]) -> str:
    return str(event["at"])[11:19]


def _by(event: Mapping[str, Any]) -> str:
    """Who did it: an administrator, an agent that proved itself, or somebody who did not."""
    if event["principal"]:
        return str(event["principal"]["name"])
    if event["reason"].startswith("attestation_") or not event["client"]:
        return "somebody unproved"
    return str(event["client"]["name"])


def _what(event: Mapping[str, Any]) -> str:
    """What was given, or why not, or what was acted on."""
    detail = event["detail"]
    if event["decision"] == "granted":
        return f"{' '.join(detail['actions'])} at {' '.join(detail['audience'])}"
    if event["decision"] == "denied":
        times = f" ({event['count']} times)" if event["count"] > 1 else ""
        return f"{event['reason']}{times}"
    acted_on = [*event["delegations"], *event["roles"], event["client"], event["subject"]]
    return next((str(named["name"]) for named in acted_on if named), "")
