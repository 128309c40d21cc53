"""`authsec agents spire-entry` and `authsec agents manifest`: an agent where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from authsec_server.cli.agent_files import PARENT, manifest, spire_command, spire_entries
from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.output import Output, harmless
from authsec_server.cli.reach import CallFailed


@click.command("spire-entry")
@click.argument("agent")
@click.option("--parent-id", default=PARENT, help="SPIFFE ID of the SPIRE agent on its node.")
@admin_command
def spire_entry(caller: Caller, output: Output, agent: str, parent_id: str) -> None:
    """Show how to register an agent in SPIRE, for its own SPIFFE ID. AGENT is its slug or client_id.

    With --json, what `spire-server entry create -data FILE` reads.
    """
    found = caller.get(path("clients", agent))
    entries = spire_entries(found, parent_id)
    if not entries:
        raise CallFailed(
            f"{found['slug']} has no selectors that SPIRE could enforce.",
            "SPIRE knows those of Kubernetes, Docker and Unix: add such a proof to it.",
        )
    output.result({"entries": entries}, *(harmless(spire_command(entry)) for entry in entries))
    if not output.as_json:
        output.note(f"The SPIRE server must be of the trust domain of {found['spiffe_id']}.")


@click.command("manifest")
@click.argument("agent")
@admin_command
def show_manifest(caller: Caller, output: Output, agent: str) -> None:
    """Show a Kubernetes manifest by which an agent proves itself. AGENT is its slug or client_id."""
    found = caller.get(path("clients", agent))
    proof = next((each for each in found["proofs"] if _of_kubernetes(each)), None)
    if proof is None:
        raise CallFailed(
            f"{found['slug']} has no proof by a Kubernetes cluster's token: its selectors are another platform's.",
            "Add one with k8s:ns and k8s:sa to it.",
        )
    text = manifest(found, proof, base_url=caller.address, audience=_audience(caller, proof))
    output.result({"manifest": text}, *text.splitlines())


def _of_kubernetes(proof: Mapping[str, Any]) -> bool:
    return bool(proof["selectors"]) and all(each["key"].startswith("k8s:") for each in proof["selectors"])


def _audience(caller: Caller, proof: Mapping[str, Any]) -> str:
    """What its token must be for: what its source says, or this authority."""
    if proof["source"] is None:
        return caller.address
    audience: str = caller.get(path("sources", proof["source"]["id"]))["token_audience"]
    return audience
