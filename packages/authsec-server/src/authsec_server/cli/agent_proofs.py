"""`authsec agents proofs`: the ways in which an agent may prove itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from authsec.deferred import Commands
from rich.table import Table
from rich.text import Text

from authsec_server.cli.agent_evidence import evidence_options
from authsec_server.cli.agent_secrets import lines, require_use_for, secret_file_option, with_secret
from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.changing import change_command
from authsec_server.cli.ending import ask_for_good, deleting, yes_option
from authsec_server.cli.output import Output, styled, table, when
from authsec_server.cli.reach import CallFailed

_LEAST = 8  # characters of an id: whoever types a number of the list removes nothing
_STATES = {
    "proves": ("proves", "green"),
    "weak": ("weak", "yellow"),
    "source_disabled": ("its trust source is disabled", "yellow"),
    "unattested": ("proves nothing", "bold red"),
    "expired": ("expired", "dim"),
}


@click.group(cls=Commands)
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
@change_command
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
@yes_option
@change_command
def remove_proof(caller: Caller, output: Output, agent: str, proof: str, yes: bool) -> None:
    """Take a proof away, and revoke the tokens that rest on it. PROOF is its id (see `list`), or how that begins.

    What stops is said first.
    """
    where = path("clients", agent, "proofs", meant(caller.get(path("clients", agent)), proof))
    ask_for_good(caller, output, where, "Remove it for good?", yes=yes, send=deleting(caller))
    caller.delete(where)
    found = caller.get(path("clients", agent))
    lost = f"{found['slug']} has lost that proof, and the tokens that rested on it are revoked."
    output.result(found, lost, _table(found))


def meant(agent: Mapping[str, Any], typed: str) -> str:
    """The id of the one proof that begins so. Raises `CallFailed`."""
    ids: list[str] = [proof["id"] for proof in agent["proofs"]]
    found = [id_ for id_ in ids if len(typed) >= _LEAST and id_.startswith(typed)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} proofs of {agent['slug']} begin with" if found else f"{agent['slug']} has no proof"
    raise CallFailed(
        f"{what} {typed!r}.", f"Their ids: authsec agents proofs list {agent['slug']} ({_LEAST} characters at least)"
    )


def _table(agent: Mapping[str, Any]) -> Table | Text:
    heads = ("PROOF", "STATE", "SOURCE", "ADDED (UTC)", "LAST USED (UTC)", "ENDS (UTC)", "ID")
    rows = [
        (
            _brief(proof),
            _state(proof),
            proof["source"]["slug"] if proof["source"] else None,
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
    if proof["kind"] == "enrolled_key":
        return f"enrolled key of {proof['machine'] or 'a machine'}, by {proof['enrolled_by']}"
    kind: str = proof["kind"].replace("_", " ")
    return f"{kind} {proof['thumbprint']}" if proof["thumbprint"] else kind


def _state(proof: Mapping[str, Any]) -> Text:
    state = proof["state"]
    if state == "cannot_prove":
        return styled("its source cannot prove it" if proof["source"] else "waits for a trust source", "yellow")
    if state == "proves" and proof["caution"]:
        return styled("proves, and lets in others", "yellow")
    words, tone = _STATES[state]
    return styled(words, tone)
