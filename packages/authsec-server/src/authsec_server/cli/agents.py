"""`authsec agents`: AI agents and how each proves that it is itself."""

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


_PLATFORMS = [platform.value for platform in Platform]
_ATTENTION = [each.value for each in Attention]


@click.group(cls=Commands)
def agents() -> None:
    """AI agents: who may ask for delegation tokens, and how each proves itself."""


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
    """Onboard the agent NAME; prints its client_id and SPIFFE ID."""
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
    """List the agents, by name; of those that are asked for, what meets all of it."""
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
    """Turn an agent off: its tokens end, and it gets no more. AGENT is its slug or client_id.

    What stops is said first. A token that is out already is good until it expires, at APIs that do not follow
    revocations.
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
    """End all tokens that an agent has by now; it stays enabled, and gets new ones. AGENT is its slug or client_id.

    If its key is in other hands, take that proof away instead (`authsec agents proofs remove`), or they get new ones.
    """
    where = path("clients", agent, "revoke-tokens")
    ask_first(caller, output, where, f"Revoke the tokens of {agent}?", yes=yes)
    found = caller.post(where)
    output.result(found, f"The tokens of {found['slug']} are revoked. It gets new ones when it asks.")


@agents.command("enable")
@click.argument("agent")
@change_command
def enable_agent(caller: Caller, output: Output, agent: str) -> None:
    """Turn an agent on again. AGENT is its slug or client_id."""
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
    """Change what describes an agent: what is not named stays. AGENT is its slug or client_id.

    It ends no token. How it proves itself is changed by `authsec agents proofs`.
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
    """Delete an agent with its proofs and trust delegations, and end its tokens. AGENT is its slug or client_id.

    What stops is said first. To stop one that may be needed again: authsec revoke agent
    """
    gone = delete(caller, output, path("clients", agent), f"Delete {agent} for good?", yes=yes)
    output.result(gone, f"{gone['slug']} is deleted: its tokens have ended, and it gets no more.")


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no value: write NAME=VALUE.", param_hint="--label")
    return name, value
