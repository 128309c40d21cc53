"""`authsec agents proofs`: the ways in which an agent may prove itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from authsec_server.cli.agent_evidence import evidence_options
from authsec_server.cli.agent_secrets import lines, require_use_for, secret_file_option, with_secret
from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.output import Output, styled, table, when


@click.group()
def proofs() -> None:
    """The proofs of an agent: any one of them suffices."""


@proofs.command("list")
@click.argument("agent")
@admin_command
def list_proofs(caller: Caller, output: Output, agent: str) -> None:
    """List the proofs of an agent. AGENT is its slug or client_id."""
    found = caller.get(path("clients", agent))
    output.result({"proofs": found["proofs"]}, _table(found))


@proofs.command("add")
@click.argument("agent")
@evidence_options
@click.option("--expires", help="When it ends, e.g. 2026-12-31T18:00:00Z. [default: never by itself]")
@secret_file_option
@admin_command
def add_proof(
    caller: Caller,
    output: Output,
    agent: str,
    evidence: Mapping[str, Any],
    expires: str | None,
    secret_file: Path | None,
) -> None:
    """Let an agent prove itself in a further way. AGENT is its slug or client_id."""
    require_use_for(secret_file, evidence)
    body = {**evidence, "expires_at": expires}
    found = with_secret(secret_file, lambda: caller.post(path("clients", agent, "proofs"), body))
    output.result(found, f"{found['slug']} has a further proof.", _table(found), *lines(found, secret_file))
    if caution := found["proofs"][-1]["caution"]:
        output.note(caution)


@proofs.command("remove")
@click.argument("agent")
@click.argument("proof")
@admin_command
def remove_proof(caller: Caller, output: Output, agent: str, proof: str) -> None:
    """Take a proof away, and revoke the tokens that rest on it. PROOF is its id, as `list` shows it."""
    found = caller.post(path("clients", agent, "proofs", proof, "remove"))
    lost = f"{found['slug']} has lost that proof, and the tokens that rested on it are revoked."
    output.result(found, lost, _table(found))


def _table(agent: Mapping[str, Any]) -> Table | Text:
    heads = ("PROOF", "STATE", "ADDED (UTC)", "LAST USED (UTC)", "ENDS (UTC)", "ID")
    rows = [
        (
            _brief(proof),
            _state(proof["state"]),
            when(proof["created_at"]),
            when(proof["last_used_at"]),
            when(proof["expires_at"]),
            proof["id"],
        )
        for proof in agent["proofs"]
    ]
    return table(heads, rows, whole=("ID",))


def _brief(proof: Mapping[str, Any]) -> str:
    """Which proof it is, on one line."""
    if proof["selectors"]:
        return ", ".join(f"{each['key']}={each['value']}" for each in proof["selectors"])
    kind: str = proof["kind"].replace("_", " ")
    return f"{kind} {proof['thumbprint']}" if proof["thumbprint"] else kind


def _state(state: str) -> Text:
    tone = {"proves": "green", "unattested": "bold red", "expired": "dim"}.get(state, "yellow")
    return styled(state.replace("_", " "), tone)
