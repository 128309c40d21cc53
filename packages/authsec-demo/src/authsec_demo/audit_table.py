"""Format audit events as a table that is 80 columns wide: the time, the event, the actor and the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text


def audit_table(events: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with one row for each event, in the given order."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in ("UTC", "event", "by"):
        table.add_column(head, no_wrap=True)
    table.add_column("what")
    for event in events:
        table.add_row(*map(Text, (_time(event), event["kind"], _by(event), _what(event))))
    return table


def _time(event: Mapping[str, Any]) -> str:
    """Return the time of day (UTC) to the second, or only to the minute for a counted refusal.

    The audit log counts some refusals for each minute, instead of recording each one.
    """
    return str(event["at"])[11 : 16 if event["counted"] else 19]


def _by(event: Mapping[str, Any]) -> str:
    """Name the actor: an administrator, an authenticated agent, or a caller that did not authenticate."""
    if event["principal"]:
        return str(event["principal"]["name"])
    if event["reason"] == "selectors_mismatch":
        return "another workload"
    return "unproved caller" if _unproved(event) else str(event["client"]["name"])


def _what(event: Mapping[str, Any]) -> str:
    """Describe the outcome: the issued token, the reason of a refusal, or the changed object."""
    detail = event["detail"]
    if event["kind"] == "token.issued":
        return ", ".join([*detail["actions"], *detail["audience"]]) + _by_whose_word(detail)
    if event["decision"] == "denied":
        times = "once" if event["count"] == 1 else f"{event['count']} times"
        return str(event["reason"]) + (f" ({times})" if event["counted"] else "")
    if event["kind"].startswith("key."):
        return "signing key"
    acted_on = [*event["delegations"], *event["roles"], event["client"], event["subject"]]
    return next((str(named["name"]) for named in acted_on if named), event["decision"] or "")


def _by_whose_word(detail: Mapping[str, Any]) -> str:
    """Describe on a new line how the agent authenticated, or return an empty text.

    The text is not empty if the machine is enrolled or the Kubernetes cluster reviewed the agent's token.
    """
    told = [detail["attestation"], "enrolled" if "enrolled" in detail else detail.get("validation")]
    return f"\n({', '.join(told)})" if all(told) else ""


def _unproved(event: Mapping[str, Any]) -> bool:
    return not event["principal"] and (not event["client"] or event["reason"].startswith("attestation_"))
