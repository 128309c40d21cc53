"""Trusted issuers and their keys as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent
from typing import Any

from rich.table import Table
from rich.text import Text

from authsec_server.cli.output import block, styled, table, when
from authsec_server.clients.pod_token import MOUNT, projected_volume
from authsec_server.issuers.model import Lookup

_CONDITIONS = {
    "given": "given by an administrator; not fetched",
    "fresh": "fresh",
    "stale": "stale: used until new keys are fetched, or until the keys are too old",
    "dead": "too old to be used",
    "none": "not fetched yet; the first token or `authsec issuers refresh` fetches them",
}


def shown(trusted_issuer: Mapping[str, Any]) -> Text:
    """Render the trusted issuer, one field on each line."""
    return block(
        {
            "trusted issuer": trusted_issuer["slug"],
            "name": trusted_issuer["name"],
            "kind": trusted_issuer["kind"],
            "issuer": trusted_issuer["issuer"],
            "state": state_of(trusted_issuer),
            "keys from": trusted_issuer["keys_url"] or trusted_issuer["keys_from"],
            "tokens for": trusted_issuer["token_audience"],
            "proves": trusted_issuer["proves"],
            **({"own CA": "yes"} if trusted_issuer["ca"] else {}),
            **_asked(trusted_issuer),
            "id": trusted_issuer["id"],
            "created": f"{when(trusted_issuer['created_at'])} UTC",
        }
    )


def _asked(trusted_issuer: Mapping[str, Any]) -> dict[str, object]:
    """Return rows with the look-ups in the cluster, the API server and the credentials."""
    if trusted_issuer["kind"] != "kubernetes":
        return {}
    if not trusted_issuer["api_server"]:
        return {"look-ups": styled("off", "yellow")}
    asked = [lookup.shown.lower() for lookup in Lookup if trusted_issuer[lookup.value]]
    own = ", by its own CA" if trusted_issuer["api_ca"] else ""
    return {
        "look-ups": asked or styled("off", "yellow"),
        "API server": f"{trusted_issuer['api_server']}{own}",
        "credentials": f"the file {trusted_issuer['credentials']}",
    }


def shown_lookups(states: Mapping[str, Mapping[str, Any]]) -> list[Text | str]:
    """Render the last result of each look-up. Other server processes can have other results."""
    facts: dict[str, object] = {}
    for lookup in Lookup:
        if state := states.get(lookup.value):
            facts[lookup.shown.lower()] = _went(state)
    return [block(facts), ""] if facts else []


def _went(state: Mapping[str, Any]) -> object:
    if state["failure"]:
        return styled(f"failed at {when(state['failed_at'])} UTC: {state['failure']}", "red")
    return f"answered at {when(state['answered_at'])} UTC" if state["answered_at"] else "not yet asked by this process"


def shown_keys(keys: Mapping[str, Any]) -> list[Table | Text | str]:
    """Render the state of the key set, and each key in it."""
    never = keys["condition"] == "none" and keys["failure"]
    facts: dict[str, object] = {"keys": "no keys could be fetched yet" if never else _CONDITIONS[keys["condition"]]}
    for name, member in (("fetched", "fetched_at"), ("fresh until", "fresh_until"), ("usable until", "usable_until")):
        if keys[member]:
            facts[name] = f"{when(keys[member])} UTC"
    if keys["failure"]:
        facts["last try"] = styled(f"failed at {when(keys['failed_at'])} UTC: {keys['failure']}", "red")
    rows = [(key["kid"], key["kty"], key["algorithms"]) for key in keys["keys"]]
    return [block(facts), *(["", table(("KEY", "TYPE", "FOR"), rows, whole=("KEY",))] if rows else [])]


def next_steps(trusted_issuer: Mapping[str, Any]) -> list[str]:
    """Return the token settings that the workloads of the trusted issuer need."""
    if trusted_issuer["kind"] != "kubernetes":
        return ["", f"Its tokens must have the audience {trusted_issuer['token_audience']} and no other."]
    return [
        "",
        f"An agent's pod needs a token with only this audience, mounted at {MOUNT}:",
        "",
        *indent(projected_volume(trusted_issuer["token_audience"]), "    ").splitlines(),
    ]


def resting(users: Mapping[str, Any]) -> Text:
    """Count the proofs and agents that depend on the trusted issuer, and list agents without another valid proof."""
    proofs, agents = counted(users["proofs"], "proof"), counted(users["clients"], "agent")
    facts: dict[str, object] = {"depend on it": f"{proofs} of {agents}" if users["proofs"] else "nobody yet"}
    if users["stranded"]:
        names = [each["name"] for each in users["stranded"]]
        facts["depend only on it"] = [*names, "and others"] if users["more_stranded"] else names
    return block(facts)


def counted(count: int, noun: str) -> str:
    """Format the count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def state_of(trusted_issuer: Mapping[str, Any]) -> object:
    """Return `enabled` or `disabled` for the trusted issuer."""
    return "enabled" if trusted_issuer["enabled"] else styled("disabled", "red")
