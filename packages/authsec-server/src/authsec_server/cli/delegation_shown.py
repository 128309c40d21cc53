"""Trust delegations as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from authsec_server.cli.output import block, cell, styled, when
from authsec_server.cli.params import as_typed

_DEFAULT = "the shared default"  # of audiences
_STYLES = {"live": "green", "disabled": "yellow", "ended": "dim", "revoked": "red"}
STATES = tuple(_STYLES)
TARGETS = (
    '"AutoGen AI agent", "LangChain AI agent", "CrewAI AI agent", "LlamaIndex AI agent", "MCP server" or, for every '
    'other framework, "Other AI agent"'
)


def row(delegation: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        delegation["slug"] or delegation["id"],
        delegation["role"]["slug"],
        _client(delegation),
        as_typed(delegation["max_duration"]),
        _state(delegation),
        _audiences(delegation),
        delegation["actions"],
    )


def shown(delegation: Mapping[str, Any]) -> Text:
    return block(
        {
            "delegation": delegation["id"],
            "slug": delegation["slug"] or "given up to a later one",
            "state": _state(delegation),
            "role": delegation["role"]["slug"],
            "agent": _client(delegation),
            "client_id": delegation["client"]["id"],
            "target type": delegation["target_type"],
            "actions": delegation["actions"],
            "max duration": as_typed(delegation["max_duration"]),
            "audiences": _audiences(delegation),
            "excluded proofs": delegation["excluded_proofs"],
            **_end(delegation),
            "owner": delegation["owner"],
            "description": delegation["description"],
            "created": f"{when(delegation['created_at'])} UTC",
        }
    )


def warned(answer: Mapping[str, Any]) -> list[Text | str]:
    """Render the warnings in the API's answer, one on each line. A warning about an unattested agent is red."""
    lines: list[Text | str] = [
        styled("! ", "bold red" if warning["code"] == "client_unattested" else "yellow").append(
            cell(warning["message"])
        )
        for warning in answer.get("warnings", ())
    ]
    return ["", *lines] if lines else []


def _client(delegation: Mapping[str, Any]) -> Text:
    name = cell(delegation["client"]["slug"])
    if delegation["client"]["unattested"]:
        name.append(" ").append("UNATTESTED", "bold red")
    return name


def _state(delegation: Mapping[str, Any]) -> Text:
    return styled(delegation["state"], _STYLES.get(delegation["state"], ""))


def _end(delegation: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the end of the delegation, or the time and the author of its revocation."""
    if delegation["revoked_at"]:
        return {"revoked": revoked_since(delegation)}
    return {"ends": f"{when(delegation['ends_at'])} UTC" if delegation["ends_at"] else "when it is revoked"}


def revoked_since(delegation: Mapping[str, Any]) -> str:
    """Return the time of the revocation, and its author if the revocation was the last change."""
    by = delegation["changed_by"] if delegation["changed_at"] == delegation["revoked_at"] else None
    return f"{when(delegation['revoked_at'])} UTC" + (f" by {by}" if by else "")


def title(delegation: Mapping[str, Any]) -> str:
    return f"{delegation['role']['slug']} → {delegation['client']['slug']}"


def _audiences(delegation: Mapping[str, Any]) -> object:
    return delegation["audiences"] or _DEFAULT


def for_whom(delegation: Mapping[str, Any]) -> str:
    """Name the delegation by role, agent and audience.

    An agent may have several delegations of one role, for different APIs.
    """
    return f"{title(delegation)} (audience: {_where(delegation)})"


def in_full(delegation: Mapping[str, Any]) -> str:
    """Name the delegation with its actions and audiences, for a confirmation."""
    return f"{title(delegation)} ({', '.join(delegation['actions'])} at {_where(delegation)})"


def _where(delegation: Mapping[str, Any]) -> str:
    return ", ".join(delegation["audiences"]) or _DEFAULT
