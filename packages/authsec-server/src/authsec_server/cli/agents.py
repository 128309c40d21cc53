"""`authsec agents`: manage AI agents and how each agent authenticates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from authsec.config import export_line
from authsec.lazy_commands import Commands
from authsec.terminal import command_line
from rich.text import Text

from authsec_server.cli.agent_proofs import (
    evidence_options,
    lines,
    proofs,
    require_use_for,
    rotate_secret,
    secret_file_option,
    with_secret,
)
from authsec_server.cli.agent_proofs import shown as shown_proof
from authsec_server.cli.agents_deploy import show_manifest, spire_entry
from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import change_command
from authsec_server.cli.output import Output, block, cell, styled, table, when
from authsec_server.cli.params import ListEdit, TextField, given, name_option, slug_option, text_options, text_rows
from authsec_server.cli.resource import Resource
from authsec_server.clients.enrolment import DEFAULT_HOURS, MAX_HOURS
from authsec_server.clients.model import Attention, Platform

_TEXTS = (
    TextField("owner", "The owner.", default="you"),
    TextField("description", "What the agent does."),
)
_PLATFORMS = [each.value for each in Platform]
_ATTENTION = [each.value for each in Attention]
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
            **text_rows(_TEXTS, agent),
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


def next_steps(caller: Caller, address: str, agent: Mapping[str, Any], secret_file: Path | None) -> list[Text | str]:
    """Return the next steps after the creation of an agent, as lines to copy."""
    steps: list[Text | str] = [""]
    if not agent["unattested"] and not agent["can_prove_itself"]:
        steps += [
            styled("The agent cannot authenticate yet, so the authority issues no token to the agent.", "yellow"),
            "",
        ]
    steps += [
        styled(
            "Next, delegate to the agent the actions of a role that the agent needs (one --action for each):", "dim"
        ),
        f"  {caller.follow_up('delegations', 'create', '--role', 'ROLE', '--agent', agent['slug'], *_USUAL)}",
        styled("and set these variables where the agent runs:", "dim"),
        f"  {export_line('AUTHSEC_BASE_URL', address)}",
        f"  {export_line('AUTHSEC_AGENT_CLIENT_ID', agent['client_id'])}",
    ]
    if agent["platform"] == "key":
        steps.append(f"  {export_line('AUTHSEC_AGENT_KEY_FILE', 'the file of its private key')}")
    return steps + lines(agent, secret_file)


@click.command("create")
@click.argument("name")
@evidence_options
@slug_option
@text_options(*_TEXTS)
@click.option("--label", "labels", multiple=True, help="A label as NAME=VALUE. Can be repeated.")
@secret_file_option
@change_command
def create_agent(
    caller: Caller,
    output: Output,
    name: str,
    evidence: Mapping[str, Any],
    labels: tuple[str, ...],
    secret_file: Path | None,
    **texts: str | None,
) -> None:
    """Register the agent NAME, and print its client_id and SPIFFE ID."""
    require_use_for(secret_file, evidence)
    body = {"name": name, **evidence, **given(texts), "labels": dict(map(_label, labels))}
    address = "" if output.as_json else caller.address  # refuse before the change
    agent = with_secret(secret_file, lambda: caller.post("clients", body))
    output.result(agent, shown(agent), *([] if output.as_json else next_steps(caller, address, agent, secret_file)))


def _described(agent: Mapping[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return the fields to change. The label options add labels to the agent's current labels, or remove labels."""
    labels, removed, now = asked.pop("labels"), asked.pop("removed_labels"), agent["labels"]
    kept = ListEdit(removed=removed).of([*now])
    changed = {name: now[name] for name in (now if kept is None else kept)} | dict(map(_label, labels))
    return {**asked, "labels": changed if labels or removed else None}


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no value: write NAME=VALUE.", param_hint="--label")
    return name, value


_ENABLED = {  # by the state in the answer. The enumeration is not imported here: its imports would delay each command
    "ready": "{slug} is enabled and can get tokens.",
    "unproved": (
        "{slug} is enabled but cannot authenticate, so the agent gets no token. See: authsec agents show {slug}"
    ),
    "undelegated": (
        "{slug} is enabled but gets no token, because no live delegation grants it an action. See: authsec delegations "
        "list --agent {slug}"
    ),
}


def _enabled(agent: Mapping[str, Any]) -> str:
    """Say whether the enabled agent can get tokens now. Answers of older servers do not have the field `state`."""
    return _ENABLED.get(agent.get("state", ""), "{slug} is enabled.").format(slug=agent["slug"])


AGENT = Resource(
    path="clients/{agent}",
    accepts="AGENT is the agent's slug or client_id.",
    columns={"AGENT": "slug", "PLATFORM": platform_of, "STATE": state_of, "CLIENT ID": "client_id"},
    whole="CLIENT ID",
    shown=lambda agent: [shown(agent)],
)


@click.group(cls=Commands)
def agents() -> None:
    """Manage AI agents: which agents can request delegation tokens, and how each agent authenticates."""


@click.command("enrolment")
@click.argument("agent")
@click.option(
    "--hours",
    type=click.IntRange(1, MAX_HOURS),
    default=DEFAULT_HOURS,
    show_default=True,
    help="How long the machine can act as the agent.",
)
@change_command
def enrolment(caller: Caller, output: Output, agent: str, hours: int) -> None:
    """Create a one-time code that lets a laptop run as an agent for some hours. AGENT is the agent's slug or client_id.

    The command prints the lines to run on the laptop. The code works once, within 15 minutes, and is never
    shown again.
    """
    address = caller.address  # refuse before the change
    made = caller.post(path("clients", agent, "enrolments"), {"hours": hours})
    where = (
        f"Run these lines before {when(made['expires_at'])} UTC, on the laptop that will act as {made['slug']} "
        f"for {hours} h:"
    )
    output.result(
        made,
        styled(where, "dim"),
        f"  {export_line('AUTHSEC_BASE_URL', address)}",
        f"  {export_line('AUTHSEC_AGENT_CLIENT_ID', made['client_id'])}",
        f"  {command_line('enrol', made['code'])}",
    )
    output.note(
        "Anybody with the code can act as this agent: give the code only to the agent's developer. The code works once."
    )


@click.command("enrolments")
@click.argument("agent")
@click.option(
    "--take-back", "taken", metavar="ID", help="Cancel the code with this id: nobody can use the code any more."
)
@change_command
def enrolments(caller: Caller, output: Output, agent: str, taken: str | None) -> None:
    """List the unused enrolment codes of an agent, or cancel one of them. AGENT is the agent's slug or client_id."""
    codes = path("clients", agent, "enrolments")
    said = []
    if taken is not None:
        caller.post(f"{codes}/{path(taken)}/take-back")
        said.append("The code is cancelled: nobody can use it any more.")
    answer = caller.get(codes)
    rows = [
        (each["made_by"], f"{each['hours']} h", when(each["created_at"]), when(each["expires_at"]), each["id"])
        for each in answer["items"]
    ]
    heads = ("MADE BY", "FOR", "MADE (UTC)", "ENDS (UTC)", "ID")
    output.result(answer, *said, table(heads, rows, whole=("ID",)))


for command in (
    create_agent,
    AGENT.list_command(
        "List the agents by name. An agent must match all filters.",
        click.option("--text", help="Part of the name or slug, or the beginning of the client_id."),
        click.option("--platform", type=click.Choice(_PLATFORMS), help="Only agents on this platform."),
        click.option("--enabled/--disabled", default=None, help="Only enabled agents, or only disabled agents."),
        click.option("--owner", help="Only agents of this owner. Give the complete name of the owner."),
        click.option("--label", help="Only agents with this label: NAME=VALUE, or NAME."),
        click.option("--attention", type=click.Choice(_ATTENTION), help="Only agents that need attention."),
    ),
    AGENT.show_command("Show one agent with its proofs."),
    AGENT.edit_command(
        """Change the description of an agent.

        Fields without an option stay as they are, and no token is revoked. `authsec agents proofs` changes how the
        agent authenticates.
        """,
        name_option,
        click.option("--slug", help="New short name. The old short name stops working."),
        text_options(*_TEXTS, editing=True),
        click.option("--label", "labels", multiple=True, help="A label to add, as NAME=VALUE. Can be repeated."),
        click.option(
            "--remove-label", "removed_labels", multiple=True, help="NAME of a label to remove. Can be repeated."
        ),
        change=_described,
        asks=False,
    ),
    AGENT.verb_command(
        "disable",
        """Disable an agent: its tokens are revoked, and it gets no new tokens.

        The command shows the impact first. APIs that do not follow revocations accept an issued token until the
        token expires.
        """,
        question="Disable {agent}?",
        done="{slug} is disabled and gets no more tokens.",
    ),
    AGENT.verb_command("enable", "Enable a disabled agent, and say whether it can get tokens.", done=_enabled),
    AGENT.verb_command(
        "revoke-tokens",
        """Revoke all current tokens of an agent.

        The agent stays enabled and can get new tokens. If somebody else has the agent's key, remove that proof
        instead (`authsec agents proofs remove`). Otherwise the thief can get new tokens as well.
        """,
        question="Revoke the tokens of {agent}?",
        done="The tokens of {slug} are revoked. The agent can request new tokens.",
    ),
    AGENT.delete_command(
        """Delete an agent with its proofs and trust delegations, and revoke its tokens.

        The command shows the impact first. To stop an agent that may be needed again: authsec revoke agent
        """,
        done="{slug} is deleted and gets no more tokens.",
    ),
    spire_entry,
    show_manifest,
    enrolment,
    enrolments,
    proofs,
    rotate_secret,
):
    agents.add_command(command)
