"""`authsec agents spire-entry` and `authsec agents manifest`: how to deploy an agent on its platform."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import click

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.output import Output, harmless
from authsec_server.cli.transport import CallFailed
from authsec_server.clients.k8s_manifest import (
    IMAGE,
    YOUR_API,
    api_url,
    left_out,
    manifest,
    names_image,
    unreachable,
)
from authsec_server.clients.model import Selector

PARENT = "<the SPIFFE ID of the SPIRE agent on its node>"

Agent = Mapping[str, Any]


def spire_entries(agent: Agent, parent_id: str) -> list[dict[str, Any]]:
    """Return a SPIRE entry for each valid proof whose selectors SPIRE can enforce.

    The entries have the form that `spire-server entry create -data` reads.
    """
    return [
        {
            "spiffe_id": agent["spiffe_id"],
            "parent_id": parent_id,
            "selectors": [dict(zip(("type", "value"), _of_spire(each), strict=True)) for each in proof["selectors"]],
        }
        for proof in agent["proofs"]
        if proof["selectors"]
        and proof["state"] != "expired"
        and all(each["key"].startswith(("k8s:", "docker:", "unix:")) for each in proof["selectors"])
    ]


def spire_command(entry: Mapping[str, Any]) -> str:
    """Return the shell command (POSIX) that registers the entry."""
    words = ["spire-server", "entry", "create", "-spiffeID", entry["spiffe_id"], "-parentID", entry["parent_id"]]
    for selector in entry["selectors"]:
        words += ["-selector", f"{selector['type']}:{selector['value']}"]
    return shlex.join(words)


def _of_spire(selector: Mapping[str, str]) -> tuple[str, str]:
    """Convert a selector to SPIRE's type and value.

    `k8s:pod-label:app` = `x` has SPIRE's type `k8s` and the value `pod-label:app:x`. For `docker:env`, SPIRE
    needs Docker's notation `env:NAME=x`; an entry with another notation would match nothing.
    """
    kind, _, rest = selector["key"].partition(":")
    joint = "=" if selector["key"].startswith("docker:env:") else ":"
    return kind, f"{rest}{joint}{selector['value']}"


_KINDS = {  # proofs without a cluster: the name of the credential, and the variable that names its file
    "key_pair": ("private key", "AUTHSEC_AGENT_KEY_FILE"),
    "secret": ("secret", "AUTHSEC_AGENT_SECRET_FILE"),
}


@click.command("spire-entry")
@click.argument("agent")
@click.option("--parent-id", default=PARENT, help="SPIFFE ID of the SPIRE agent on the node where this agent runs.")
@admin_command
def spire_entry(caller: Caller, output: Output, agent: str, parent_id: str) -> None:
    """Show how to register an agent in SPIRE under the agent's SPIFFE ID. AGENT is the agent's slug or client_id.

    With --json, the command prints the input for `spire-server entry create -data FILE`.
    """
    found = caller.get(path("clients", agent))
    entries = spire_entries(found, parent_id)
    if not entries:
        raise CallFailed(
            f"{found['slug']} has no selectors that SPIRE could enforce.",
            "SPIRE supports selectors of Kubernetes, Docker and Unix: add a proof with such selectors.",
        )
    output.result({"entries": entries}, *(harmless(spire_command(entry)) for entry in entries))
    if not output.as_json:
        output.note(f"The SPIRE server must have the trust domain of {found['spiffe_id']}.")
    if not any(_by_spire(proof) for proof in found["proofs"]):
        output.note(
            "The agent cannot authenticate with SVIDs yet: no proof is bound to a SPIFFE trust domain. Register "
            "the trust domain with `authsec issuers add spiffe`, and bind a proof to it with `authsec issuers "
            "bind`."
        )


@click.command("manifest")
@click.argument("agent")
@admin_command
def show_manifest(caller: Caller, output: Output, agent: str) -> None:
    """Print a Kubernetes manifest that lets an agent authenticate. AGENT is the agent's slug or client_id."""
    found = caller.get(path("clients", agent))
    proof = _shown_by_a_token(found)
    selectors = [Selector(key=each["key"], value=each["value"]) for each in proof["selectors"]]
    audience = _audience(caller, proof)
    delegations = caller.get("delegations", client=found["client_id"], state="live", limit=1)["items"]
    api = api_url(each for delegation in delegations for each in delegation["audiences"])
    text = manifest(
        selectors,
        slug=found["slug"],
        client_id=found["client_id"],
        base_url=caller.address,
        audience=audience,
        api=api,
    )
    missing = left_out(selectors)
    output.result({"manifest": text, "left_out": missing}, *text.splitlines())
    if caution := unreachable(caller.address):
        output.note(caution)
    for each in missing:
        output.note(f"Missing in the manifest, but required for a token: {each}.")
    if not names_image(selectors):
        output.note(f"Replace {IMAGE} with the agent's image.")
    if api == YOUR_API:
        output.note(f"Replace {YOUR_API} with the URL of the API that the agent calls.")


def _shown_by_a_token(agent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the agent's first valid proof that a Kubernetes cluster's token can satisfy. Raises `CallFailed`."""
    proofs: list[Mapping[str, Any]] = [
        each for each in agent["proofs"] if _of_kubernetes(each) and each["state"] != "expired"
    ]
    for each in proofs:
        if not _by_spire(each):
            return each
    if proofs:
        raise CallFailed(
            f"{agent['slug']} authenticates with an SVID of SPIRE: a cluster's token is not accepted.",
            f"See `authsec agents spire-entry {agent['slug']}`, and mount SPIRE's Workload API in the agent's pod.",
        )
    if _KINDS.keys() & (held := {each["kind"] for each in agent["proofs"] if each["state"] != "expired"}):
        what, variable = next(said for kind, said in _KINDS.items() if kind in held)
        raise CallFailed(
            f"{agent['slug']} authenticates with a {what}, without selectors: the agent needs no token of a cluster.",
            f"Mount the file of the {what} in the agent's pod, from a Secret, and set {variable} to the file's "
            "path. Or add a proof with k8s:ns and k8s:sa, which the cluster proves.",
        )
    raise CallFailed(
        f"{agent['slug']} has no proof for a Kubernetes cluster's token: its selectors belong to another platform.",
        "Add a proof with k8s:ns and k8s:sa.",
    )


def _of_kubernetes(proof: Mapping[str, Any]) -> bool:
    return bool(proof["selectors"]) and all(each["key"].startswith("k8s:") for each in proof["selectors"])


def _by_spire(proof: Mapping[str, Any]) -> bool:
    """Whether the trusted issuer of the proof is a SPIFFE trust domain.

    SPIRE checks the selectors `k8s`, `docker` and `unix` only for such a proof.
    """
    return "spire" in (proof["provenance"] or {}).values()


def _audience(caller: Caller, proof: Mapping[str, Any]) -> str:
    """Return the token audience of the proof's trusted issuer, or the address of this authority."""
    if proof["trusted_issuer"] is None:
        return caller.address
    audience: str = caller.get(path("issuers", proof["trusted_issuer"]["id"]))["token_audience"]
    return audience
