"""`authsec agents`: manage AI agents and how each agent authenticates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from authsec.config import export_line
from authsec.lazy_commands import Commands
from rich.text import Text

from authsec_server.cli.agent_enrolment import enrolment, enrolments
from authsec_server.cli.agent_proofs import evidence_options, proofs
from authsec_server.cli.agent_proofs import shown as shown_proof
from authsec_server.cli.agent_secrets import lines, require_use_for, rotate_secret, secret_file_option, with_secret
from authsec_server.cli.agents_deploy import show_manifest, spire_entry
from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import ask_first, change_command, delete, edit, yes_option
from authsec_server.cli.output import Output, block, cell, styled, table, when
from authsec_server.cli.paging import Paged, note_more, page_options
from authsec_server.cli.params import edited
from authsec_server.clients.filters import Attention
from authsec_server.clients.model import Platform

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
    """Render the agent's proofs as rows, each with a heading of its own."""
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
    """Return the next steps after the creation of an agent, as lines to copy."""
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


_PLATFORMS = [platform.value for platform in Platform]
_ATTENTION = [each.value for each in Attention]


@click.group(cls=Commands)
def agents() -> None:
    """Manage AI agents: which agents can request delegation tokens, and how each agent authenticates."""


for command in (spire_entry, show_manifest, enrolment, enrolments, proofs, rotate_secret):
    agents.add_command(command)


@agents.command("create")
@click.argument("name")
@evidence_options
@click.option("--slug", help="Short name for commands and URLs. [default: made of NAME]")
@click.option("--owner", help="Who answers for it. [default: you]")
@click.option("--description", default="", help="What it does.")
@secret_file_option
@change_command
def create_agent(
    caller: Caller,
    output: Output,
    name: str,
    evidence: Mapping[str, Any],
    slug: str | None,
    owner: str | None,
    description: str,
    secret_file: Path | None,
) -> None:
    """Register the agent NAME, and print its client_id and SPIFFE ID."""
    require_use_for(secret_file, evidence)
    body = {"name": name, **evidence, "slug": slug, "owner": owner, "description": description}
    agent = with_secret(secret_file, lambda: caller.post("clients", body))
    output.result(agent, shown(agent), *([] if output.as_json else next_steps(caller, agent, secret_file)))


@agents.command("list")
@click.option("--text", help="Part of the name or slug, or how the client_id begins.")
@click.option("--platform", type=click.Choice(_PLATFORMS), help="Only those on this platform.")
@click.option("--enabled/--disabled", default=None, help="Only those that are on, or off.")
@click.option("--owner", help="Only those of this owner; the whole name.")
@click.option("--label", help="Only those with this label: NAME=VALUE, or NAME.")
@click.option("--attention", type=click.Choice(_ATTENTION), help="Only those to look at.")
@page_options
@admin_command
def list_agents(caller: Caller, output: Output, paged: Paged, enabled: bool | None, **filters: str | None) -> None:
    """List the agents by name. An agent must match all filters."""
    answer = paged.of(caller, "clients", enabled=None if enabled is None else str(enabled).lower(), **filters)
    rows = [(agent["slug"], platform_of(agent), state_of(agent), agent["client_id"]) for agent in answer["items"]]
    output.result(answer, table(("AGENT", "PLATFORM", "STATE", "CLIENT ID"), rows, whole=("CLIENT ID",)))
    note_more(output, answer)


@agents.command("show")
@click.argument("agent")
@admin_command
def show_agent(caller: Caller, output: Output, agent: str) -> None:
    """Show one agent with its proofs. AGENT is its slug or client_id."""
    found = caller.get(path("clients", agent))
    output.result(found, shown(found))


@agents.command("disable")
@click.argument("agent")
@yes_option
@change_command
def disable_agent(caller: Caller, output: Output, agent: str, yes: bool) -> None:
    """Disable an agent: its tokens are revoked, and it gets no new tokens. AGENT is its slug or client_id.

    The command shows the impact first. APIs that do not follow revocations accept an issued token until the
    token expires.
    """
    where = path("clients", agent, "disable")
    ask_first(caller, output, where, f"Disable {agent}?", yes=yes)
    found = caller.post(where)
    output.result(found, f"{found['slug']} is disabled: it gets no more tokens.")


@agents.command("revoke-tokens")
@click.argument("agent")
@yes_option
@change_command
def revoke_tokens(caller: Caller, output: Output, agent: str, yes: bool) -> None:
    """Revoke all current tokens of an agent. AGENT is its slug or client_id.

    The agent stays enabled and can get new tokens. If somebody else has the agent's key, remove that proof
    instead (`authsec agents proofs remove`). Otherwise the thief can get new tokens as well.
    """
    where = path("clients", agent, "revoke-tokens")
    ask_first(caller, output, where, f"Revoke the tokens of {agent}?", yes=yes)
    found = caller.post(where)
    output.result(found, f"The tokens of {found['slug']} are revoked. It gets new ones when it asks.")


@agents.command("enable")
@click.argument("agent")
@change_command
def enable_agent(caller: Caller, output: Output, agent: str) -> None:
    """Enable a disabled agent. AGENT is its slug or client_id."""
    found = caller.post(path("clients", agent, "enable"))
    output.result(found, f"{found['slug']} is enabled: it gets tokens again.")


@agents.command("edit")
@click.argument("agent")
@click.option("--name", help="Another name.")
@click.option("--slug", help="Another short name. Whoever says the old one finds nothing.")
@click.option("--owner", help="Who answers for it.")
@click.option("--description", help="What it does.")
@click.option("--label", "labels", multiple=True, help="NAME=VALUE, besides those that it has. Repeat.")
@click.option("--remove-label", "gone", multiple=True, help="The NAME of one that goes. Repeat.")
@change_command
def edit_agent(
    caller: Caller, output: Output, agent: str, labels: tuple[str, ...], gone: tuple[str, ...], **asked: str | None
) -> None:
    """Change the name, slug, owner, description or labels of an agent. AGENT is its slug or client_id.

    Fields without an option stay as they are, and no token is revoked. `authsec agents proofs` changes how the
    agent authenticates.
    """
    where = path("clients", agent)
    found = caller.get(where)
    now = found["labels"]
    kept = edited([*now], (), (), gone)
    its = {name: now[name] for name in (now if kept is None else kept)} | dict(map(_label, labels))
    body = {**asked, "labels": its if labels or gone else None}
    done = edit(caller, output, where, found, body, yes=True)
    output.result(done, shown(done))


@agents.command("delete")
@click.argument("agent")
@yes_option
@change_command
def delete_agent(caller: Caller, output: Output, agent: str, yes: bool) -> None:
    """Delete an agent with its proofs and trust delegations, and revoke its tokens. AGENT is its slug or client_id.

    The command shows the impact first. To stop an agent that may be needed again: authsec revoke agent
    """
    gone = delete(caller, output, path("clients", agent), f"Delete {agent} for good?", yes=yes)
    output.result(gone, f"{gone['slug']} is deleted: it gets no more tokens.")


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no value: write NAME=VALUE.", param_hint="--label")
    return name, value
