"""Agents as people see them, and what somebody does next who has onboarded one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from authsec.config import export_line
from rich.text import Text

from authsec_server.cli.agent_evidence import shown as shown_proof
from authsec_server.cli.agent_secrets import lines
from authsec_server.cli.caller import Caller
from authsec_server.cli.output import block, cell, styled, when

_USUAL = ("--target", "AutoGen AI agent", "--action", "ACTION", "--max-duration", "1h")


def shown(agent: Mapping[str, Any]) -> Text:
    return block(
        {
            "agent": agent["slug"],
            "name": agent["name"],
            "client_id": agent["client_id"],
            "spiffe_id": agent["spiffe_id"],
            "platform": platform_of(agent),
            "state": state_of(agent),
            **_proofs(agent),
            "owner": agent["owner"],
            "description": agent["description"],
            "labels": [f"{name}={value}" for name, value in agent["labels"].items()],
            "created": f"{when(agent['created_at'])} UTC",
        }
    )


def _proofs(agent: Mapping[str, Any]) -> dict[str, object]:
    """What the agent can show; one row a proof, each row with a heading of its own."""
    rows = [shown_proof(proof) for proof in agent["proofs"]]
    return {"proof" if len(rows) == 1 else f"proof {number}": row for number, row in enumerate(rows, 1)}


def platform_of(agent: Mapping[str, Any]) -> Text:
    return styled("UNATTESTED", "bold red") if agent["unattested"] else cell(agent["platform"])


def state_of(agent: Mapping[str, Any]) -> Text:
    if not agent["enabled"]:
        return styled("disabled", "yellow")
    if any(proof["state"] == "weak" for proof in agent["proofs"]):
        return styled("enabled, weak proof", "yellow")
    if agent["unattested"] or agent["can_prove_itself"]:
        return styled("enabled", "green")
    return styled("no proof yet", "yellow")


def next_steps(caller: Caller, agent: Mapping[str, Any], secret_file: Path | None) -> list[Text | str]:
    """What a person does now, as lines to copy."""
    steps: list[Text | str] = [""]
    if not agent["unattested"] and not agent["can_prove_itself"]:
        steps += [
            styled("It cannot prove itself yet: until it can, the agent gets no token.", "yellow"),
            "",
        ]
    steps += [
        styled("Next, delegate authority to it: of a role, the actions that it needs (repeat --action):", "dim"),
        f"  {caller.follow_up('delegations', 'create', '--role', 'ROLE', '--agent', agent['slug'], *_USUAL)}",
        styled("and tell the agent where the authority is, and who it is:", "dim"),
        f"  {export_line('AUTHSEC_BASE_URL', caller.address)}",
        f"  {export_line('AUTHSEC_AGENT_CLIENT_ID', agent['client_id'])}",
    ]
    if agent["platform"] == "key":
        steps.append(f"  {export_line('AUTHSEC_AGENT_KEY_FILE', 'the file of its private key')}")
    return steps + lines(agent, secret_file)
