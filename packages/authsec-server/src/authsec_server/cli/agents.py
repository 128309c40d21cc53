"""`authsec agents`: AI agents and how each proves that it is itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from authsec.config import export_line
from rich.text import Text

from authsec_server.cli.agent_deploying import show_manifest, spire_entry
from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.output import Output, block, cell, styled, table, when
from authsec_server.cli.paging import note_more, page_options
from authsec_server.cli.reach import CallFailed
from authsec_server.sources.model import Provenance

MAX_KEY_FILE = 16 * 1024
_USUAL = ("--target", "AutoGen AI agent", "--all-actions", "--max-duration", "1h")
_PROVENANCE = {each.value: each.shown for each in Provenance}
_STILL_OUT = "A token that is out already is good until it expires: no API follows revocations yet."


@click.group()
def agents() -> None:
    """AI agents: who may ask for delegation tokens, and how each proves itself."""


for command in (spire_entry, show_manifest):
    agents.add_command(command)


@agents.command("create")
@click.argument("name")
@click.option(
    "--platform",
    required=True,
    type=click.Choice(["kubernetes", "docker", "unix", "spiffe", "oidc", "key", "unattested"]),
    help="Where it runs, or who vouches for it (spiffe, oidc); or key: it holds a key pair; or unattested: it proves "
    "nothing.",
)
@click.option("--selector", "selectors", multiple=True, help="KEY=VALUE, e.g. k8s:ns=production. Repeat.")
@click.option("--public-key", type=click.Path(path_type=Path, dir_okay=False), help="PEM file, for --platform key.")
@click.option("--source", help="The trust source that vouches for it, where several could: its slug or id.")
@click.option("--slug", help="Short name for commands and URLs. [default: made of NAME]")
@click.option("--owner", help="Who answers for it. [default: you]")
@click.option("--description", default="", help="What it does.")
@admin_command
def create_agent(
    caller: Caller,
    output: Output,
    name: str,
    platform: str,
    selectors: tuple[str, ...],
    public_key: Path | None,
    source: str | None,
    slug: str | None,
    owner: str | None,
    description: str,
) -> None:
    """Onboard the agent NAME; prints its client_id and SPIFFE ID."""
    body = {
        "name": name,
        "platform": platform,
        "selectors": [_selector(text) for text in selectors],
        "public_key": None if public_key is None else _read_public_key(public_key),
        "source": source,
        "slug": slug,
        "owner": owner,
        "description": description,
    }
    agent = caller.post("clients", body)
    output.result(agent, _shown(agent), *([] if output.as_json else _next_steps(caller, agent)))


@agents.command("list")
@page_options
@admin_command
def list_agents(caller: Caller, output: Output, limit: int, cursor: str | None) -> None:
    """List the agents."""
    answer = caller.get("clients", limit=limit, cursor=cursor)
    rows = [(agent["slug"], _platform(agent), _state(agent), agent["client_id"]) for agent in answer["items"]]
    output.result(answer, table(("AGENT", "PLATFORM", "STATE", "CLIENT ID"), rows, whole=("CLIENT ID",)))
    note_more(output, answer)


@agents.command("show")
@click.argument("agent")
@admin_command
def show_agent(caller: Caller, output: Output, agent: str) -> None:
    """Show one agent with its proofs. AGENT is its slug or client_id."""
    found = caller.get(path("clients", agent))
    output.result(found, _shown(found))


@agents.command("disable")
@click.argument("agent")
@admin_command
def disable_agent(caller: Caller, output: Output, agent: str) -> None:
    """Turn an agent off: it gets no more tokens. AGENT is its slug or client_id.

    A token that is out already is good until it expires, at APIs that do not follow revocations.
    """
    found = caller.post(path("clients", agent, "disable"))
    output.result(found, f"{found['slug']} is disabled: it gets no more tokens.", _STILL_OUT)


@agents.command("enable")
@click.argument("agent")
@admin_command
def enable_agent(caller: Caller, output: Output, agent: str) -> None:
    """Turn an agent on again. AGENT is its slug or client_id."""
    found = caller.post(path("clients", agent, "enable"))
    output.result(found, f"{found['slug']} is enabled: it gets tokens again.")


def _selector(text: str) -> dict[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no value: write KEY=VALUE.", param_hint="--selector")
    return {"key": key, "value": value}


def _read_public_key(path: Path) -> str:
    """The file's text. A private key is refused here already, so that it does not leave this machine."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise CallFailed(f"{path} cannot be read: {error.strerror}.") from None
    if b"PRIVATE KEY" in content:
        public = path.with_name(f"{path.name}.pub")
        raise CallFailed(
            f"{path} holds a PRIVATE key, which belongs to the agent alone. It was not sent.",
            f"Give its public half: {public if public.exists() else 'the block that says BEGIN PUBLIC KEY'}",
        )
    if len(content) > MAX_KEY_FILE or b"BEGIN PUBLIC KEY" not in content:
        raise CallFailed(
            f"{path} is no public key in PEM form.",
            "Give the file that says BEGIN PUBLIC KEY; `authsec keygen FILE` makes one, FILE.pub.",
        )
    return content.decode("utf-8", "replace")


def _shown(agent: Mapping[str, Any]) -> Text:
    return block(
        {
            "agent": agent["slug"],
            "name": agent["name"],
            "client_id": agent["client_id"],
            "spiffe_id": agent["spiffe_id"],
            "platform": _platform(agent),
            "state": _state(agent),
            **_proofs(agent),
            "owner": agent["owner"],
            "description": agent["description"],
            "labels": [f"{name}={value}" for name, value in agent["labels"].items()],
            "created": f"{when(agent['created_at'])} UTC",
        }
    )


def _proofs(agent: Mapping[str, Any]) -> dict[str, object]:
    """What the agent can show; one row a proof, each row with a heading of its own."""
    rows = [_proof(proof) for proof in agent["proofs"]]
    return {"proof" if len(rows) == 1 else f"proof {number}": row for number, row in enumerate(rows, 1)}


def _proof(proof: Mapping[str, Any]) -> Text:
    if proof["kind"] == "unattested":
        return styled("UNATTESTED", "bold red").append(": anybody who knows its client_id gets its authority", "red")
    if proof["kind"] == "key_pair":
        return cell(f"key pair with thumbprint {proof['thumbprint']}")
    rows = [cell(f"{each['key']} = {each['value']}").append(_proved(proof, each["key"])) for each in proof["selectors"]]
    if proof["source"]:
        rows.append(cell(f"by the word of {proof['source']['name']} ({proof['source']['slug']})"))
    if proof["missing"]:
        rows.append(styled(proof["missing"], "yellow"))
    return Text("\n").join(rows)


def _proved(proof: Mapping[str, Any], key: str) -> str:
    """How the trust source proves the selector, behind it."""
    how = (proof["provenance"] or {}).get(key)
    return f"  ({_PROVENANCE.get(how, how)})" if how else ""


def _platform(agent: Mapping[str, Any]) -> Text:
    return styled("UNATTESTED", "bold red") if agent["unattested"] else cell(agent["platform"])


def _state(agent: Mapping[str, Any]) -> Text:
    if not agent["enabled"]:
        return styled("disabled", "yellow")
    if agent["unattested"] or agent["can_prove_itself"]:
        return styled("enabled", "green")
    return styled("no proof yet", "yellow")


def _next_steps(caller: Caller, agent: Mapping[str, Any]) -> list[Text | str]:
    """What a person does now, as lines to copy."""
    lines: list[Text | str] = [""]
    if not agent["unattested"] and not agent["can_prove_itself"]:
        lines += [
            styled("It cannot prove itself yet: until it can, the agent gets no token.", "yellow"),
            "",
        ]
    lines += [
        styled("Next, delegate authority to it:", "dim"),
        f"  {caller.follow_up('delegations', 'create', '--role', 'ROLE', '--client', agent['slug'], *_USUAL)}",
        styled("and tell the agent where the authority is, and who it is:", "dim"),
        f"  {export_line('AUTHSEC_BASE_URL', caller.address)}",
        f"  {export_line('AUTHSEC_AGENT_CLIENT_ID', agent['client_id'])}",
    ]
    if agent["platform"] == "key":
        lines.append(f"  {export_line('AUTHSEC_AGENT_KEY_FILE', 'the file of its private key')}")
    return lines
