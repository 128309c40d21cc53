"""`authsec delegations`: manage trust delegations, which let an agent act in a role for certain actions and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import click
from authsec.lazy_commands import Commands
from rich.text import Text

from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import (
    change_command,
    confirm_permanent,
    confirm_with_impact,
    dry_run_of,
    edit,
    repeat_text,
    revocation_text,
    yes_option,
)
from authsec_server.cli.output import Output, block, cell, styled, warned, when
from authsec_server.cli.params import DURATION, TextField, as_typed, given, list_options, text_options, text_rows
from authsec_server.cli.resource import Resource
from authsec_server.cli.transport import CallFailed

_LISTS = ("actions", "audiences", "excluded_proofs")
_DEFAULT = "the shared default"  # audience
_STYLES = {"live": "green", "disabled": "yellow", "ended": "dim", "revoked": "red"}
_GRANTS_NOTHING = {"actions_not_in_role", "proofs_excluded", "proofs_not_verified"}  # codes of warnings
_TEXTS = (
    TextField("owner", "The owner.", default="you"),
    TextField("description", "Why the delegation exists."),
)
_SLUG = TextField("slug", "Short name, which works wherever an id is expected.", default="made of agent and role")
_TARGETS = (
    '"AutoGen AI agent", "LangChain AI agent", "CrewAI AI agent", "LlamaIndex AI agent", "MCP server" or, for every '
    'other framework, "Other AI agent"'
)


def _shown(delegation: Mapping[str, Any]) -> list[Text | str]:
    facts = block(
        {
            "delegation": delegation["id"],
            "slug": delegation["slug"] or "taken over by a later delegation",
            "state": _state(delegation),
            "role": delegation["role"]["slug"],
            "agent": _client(delegation),
            "client_id": delegation["client"]["id"],
            "target type": delegation["target_type"],
            "actions": delegation["actions"],
            "max duration": as_typed(delegation["max_duration"]),
            "audiences": _audiences(delegation),
            "excluded proofs": delegation["excluded_proofs"],
            "requires DPoP": "yes" if delegation["require_dpop"] else "no",
            **_end(delegation),
            **text_rows(_TEXTS, delegation),
            "created": f"{when(delegation['created_at'])} UTC",
        }
    )
    return [facts, *warned(delegation)]


def _client(delegation: Mapping[str, Any]) -> Text:
    name = cell(delegation["client"]["slug"])
    if delegation["client"]["unattested"]:
        name.append(" ").append("UNATTESTED", "bold red")
    return name


def _state(delegation: Mapping[str, Any]) -> Text:
    codes = {each["code"] for each in delegation.get("warnings", ())}
    if delegation["state"] == "live" and codes & _GRANTS_NOTHING:
        return styled("live, grants nothing", "yellow")
    return styled(delegation["state"], _STYLES.get(delegation["state"], ""))


def _end(delegation: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the time at which the delegation expires, or the time and the author of its revocation."""
    if delegation["revoked_at"]:
        return {"revoked": revoked_since(delegation)}
    return {"ends": f"{when(delegation['ends_at'])} UTC" if delegation["ends_at"] else "when it is revoked"}


def revoked_since(delegation: Mapping[str, Any]) -> str:
    """Return the time of the revocation. Add who revoked the delegation if nobody changed it afterwards."""
    by = delegation["changed_by"] if delegation["changed_at"] == delegation["revoked_at"] else None
    return f"{when(delegation['revoked_at'])} UTC" + (f" by {by}" if by else "")


def title(delegation: Mapping[str, Any]) -> str:
    return f"{delegation['role']['slug']} → {delegation['client']['slug']}"


def _audiences(delegation: Mapping[str, Any]) -> object:
    return delegation["audiences"] or _DEFAULT


def for_whom(delegation: Mapping[str, Any]) -> str:
    """Name the delegation by role, agent and audience.

    An agent may have several delegations of one role, for different APIs.
    """
    return f"{title(delegation)} (audience: {_where(delegation)})"


def in_full(delegation: Mapping[str, Any]) -> str:
    """Name the delegation with its actions and audiences, for a confirmation."""
    return f"{title(delegation)} ({', '.join(delegation['actions'])} at {_where(delegation)})"


def _where(delegation: Mapping[str, Any]) -> str:
    return ", ".join(delegation["audiences"]) or _DEFAULT


def _may_be_misspelt(audiences: Iterable[str]) -> bool:
    """Whether an audience is a name, so that a dry run must check its spelling.

    The server compares names with the slugs of APIs. The server does not compare URLs.
    """
    return any("://" not in audience for audience in audiences)


def _refuse_misspelt(planned: Mapping[str, Any], undone: str) -> None:
    """Raise `CallFailed` if the dry run `planned` warns about a misspelt audience.

    `undone` is the sentence for the user about the unchanged state.
    """
    warnings = planned["would_answer"]["warnings"]
    misspelt = [warning["message"] for warning in warnings if warning["code"] == "audience_misspelt"]
    if misspelt:
        remedy = (
            "Correct the audience, or register the API first: authsec apis create NAME --identifier URL. To keep "
            "the name as it is: --yes"
        )
        raise CallFailed(f"{' '.join(misspelt)} {undone}", remedy)


@click.command("create")
@click.option("--role", required=True, help="The role, by slug or id.")
@click.option("--agent", "--client", "client", required=True, help="The agent, by slug or client_id.")
@click.option("--target", "target_type", required=True, help=f"Target type: {_TARGETS}.")
@click.option("--action", "actions", multiple=True, help="An action of the role, e.g. customers:read. Can be repeated.")
@click.option(
    "--all-actions",
    is_flag=True,
    help="All actions that the role has now. Actions that are added to the role later are not included.",
)
@click.option("--max-duration", type=DURATION, default="1h", show_default=True, help="Longest lifetime of a token.")
@click.option(
    "--audience",
    "audiences",
    multiple=True,
    help="An audience: an API by slug or URL, or a registered name. Can be repeated.",
)
@click.option("--ends-at", help="When the delegation expires, e.g. 2026-12-31T18:00:00Z.")
@click.option(
    "--exclude-proof", "excluded_proofs", multiple=True, help="A kind of proof that the delegation does not accept."
)
@click.option("--require-dpop", is_flag=True, help="Issue only tokens that are bound to a key of the agent (DPoP).")
@text_options(*_TEXTS, _SLUG)
@click.option("--yes", is_flag=True, help="Accept an audience that looks misspelt.")
@change_command
def create_delegation(caller: Caller, output: Output, actions: tuple[str, ...], yes: bool, **options: Any) -> None:
    """Create a trust delegation: the agent can get tokens for the actions, within the role.

    An audience can be a name that belongs to no registered API. The command refuses such a name if it looks
    misspelt, unless --yes is given. The name looks misspelt if an API has a similar slug or if no API is
    registered.
    """
    if bool(actions) == options["all_actions"]:
        raise click.UsageError("Give --action (repeat it for several) or --all-actions.")
    many = {name: list(options.pop(name)) for name in ("audiences", "excluded_proofs")}
    body = {**given(options), **many, "actions": list(actions)}
    if not yes and _may_be_misspelt(many["audiences"]):
        _refuse_misspelt(dry_run_of(caller, "delegations", body), "Nothing was created.")
    delegation = caller.post("delegations", body)
    output.result(delegation, *_shown(delegation))


@click.command("edit")
@click.argument("delegation")
@list_options("action", "actions", "actions of the role")
@click.option("--all-actions", is_flag=True, help="All actions that the role has now.")
@click.option("--max-duration", type=DURATION, help="Longest lifetime of a token.")
@list_options("audience", "audiences", "APIs, by slug, URL or registered name")
@click.option("--default-audience", is_flag=True, help="Use the shared default audience instead of named APIs.")
@click.option("--ends-at", help="When the delegation expires, e.g. 2026-12-31T18:00:00Z.")
@click.option("--no-end", is_flag=True, help="Remove the end: the delegation does not expire.")
@list_options("excluded-proof", "excluded_proofs", "kinds of proof that are not accepted")
@click.option(
    "--require-dpop/--no-require-dpop",
    default=None,
    help="Whether to issue only tokens that are bound to a key of the agent (DPoP).",
)
@click.option("--target", "target_type", help=f"The new target type: {_TARGETS}.")
@text_options(*_TEXTS, _SLUG, editing=True)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation, even for an audience that looks misspelt.")
@change_command
def edit_delegation(
    caller: Caller,
    output: Output,
    delegation: str,
    all_actions: bool,
    default_audience: bool,
    ends_at: str | None,
    no_end: bool,
    yes: bool,
    **asked: Any,
) -> None:
    """Change a delegation. DELEGATION is the delegation's slug or id.

    Fields without an option stay as they are. If the change removes authority, the command revokes the tokens
    that have the removed authority. The command first shows the impact. The role and the agent of a delegation
    are fixed: to change them, revoke the delegation and create another one.

    An audience can be a name that belongs to no registered API. The command refuses to add such a name if it
    looks misspelt, unless --yes is given. The name looks misspelt if an API has a similar slug or if no API is
    registered.
    """
    if all_actions and asked["actions"]:
        raise click.UsageError("Use --all-actions without other options for actions.")
    if no_end and ends_at:
        raise click.UsageError("Give --no-end or --ends-at, not both.")
    where = path("delegations", delegation)
    found = caller.get(where)
    for name in _LISTS:
        asked[name] = asked[name].of(found[name])
    asked |= {"all_actions": all_actions or None, "ends_at": ends_at}
    if default_audience:
        asked["audiences"] = []
    new = set(asked["audiences"] or ()) - set(found["audiences"])
    check = partial(_refuse_misspelt, undone="Nothing was changed.") if _may_be_misspelt(new) else None
    done = edit(caller, output, where, found, asked, yes=yes, cleared=["ends_at"] if no_end else [], check=check)
    output.result(done, *_shown(done))


_OUT = ", and issued tokens are revoked."


@click.command("disable")
@click.argument("delegation")
@yes_option
@change_command
def disable_delegation(caller: Caller, output: Output, delegation: str, yes: bool) -> None:
    """Disable a delegation: its tokens are revoked, and it allows no new tokens.

    DELEGATION is the delegation's slug or id. The command shows the impact first. APIs that do not follow
    revocations accept an issued token until the token expires.
    """
    its, where = caller.get(path("delegations", delegation)), path("delegations", delegation, "disable")
    planned = confirm_with_impact(caller, output, where, f"Disable {in_full(its)}?", yes=yes)
    found = caller.post(where)
    output.result(
        found,
        f"{for_whom(found)} is {found['state']}: no more tokens are issued{revocation_text(planned, _OUT)}"
        f"{repeat_text(planned)}",
    )


@click.command("enable")
@click.argument("delegation")
@change_command
def enable_delegation(caller: Caller, output: Output, delegation: str) -> None:
    """Enable a disabled delegation. DELEGATION is the delegation's slug or id."""
    found = caller.post(path("delegations", delegation, "enable"))
    output.result(found, f"{for_whom(found)} is {found['state']}: tokens are issued again.")


@click.command("revoke")
@click.argument("delegation")
@yes_option
@change_command
def revoke_delegation(caller: Caller, output: Output, delegation: str, yes: bool) -> None:
    """Revoke a delegation and its tokens permanently. DELEGATION is the delegation's slug or id.

    The delegation allows no new tokens. The command shows the impact first. APIs that do not follow revocations
    accept an issued token until the token expires.
    """
    its, where = caller.get(path("delegations", delegation)), path("delegations", delegation, "revoke")
    planned = None
    if its["revoked_at"] is None:
        planned = confirm_permanent(caller, output, where, f"Revoke {in_full(its)} permanently?", yes=yes)
    found = caller.post(where)
    if its["revoked_at"]:
        output.result(found, f"{for_whom(found)} was already revoked, at {revoked_since(its)}.")
        return
    output.result(
        found, f"{for_whom(found)} is revoked permanently: no more tokens are issued{revocation_text(planned, _OUT)}"
    )


_DELEGATION = Resource(
    path="delegations/{delegation}",
    accepts="DELEGATION is the delegation's slug or id.",
    columns={
        "DELEGATION": lambda delegation: delegation["slug"] or delegation["id"],
        "ROLE": lambda delegation: delegation["role"]["slug"],
        "AGENT": _client,
        "MAX": lambda delegation: as_typed(delegation["max_duration"]),
        "STATE": _state,
    },
    wide_columns={"AUDIENCES": _audiences, "ACTIONS": "actions"},
    whole="DELEGATION",
    shown=_shown,
)


@click.group(cls=Commands)
def delegations() -> None:
    """Manage trust delegations: which agent may act in which role, for which actions and how long."""


for command in (
    create_delegation,
    _DELEGATION.list_command(
        "List the delegations, newest first. A delegation must match all filters.",
        click.option("--agent", "--client", "client", help="Only delegations to this agent, by slug or client_id."),
        click.option("--role", help="Only delegations of this role, by slug or id."),
        click.option("--state", type=click.Choice([*_STYLES]), help="Only delegations in this state."),
        click.option("--audience", help="Only delegations that name this audience."),
        click.option("--target", "target_type", help=f"Only delegations for this target type: {_TARGETS}."),
        click.option("--owner", help="Only delegations of this owner. Give the complete name of the owner."),
        click.option(
            "--text", help="Part of the slug, of the role's name or of the agent's name. Or the beginning of the id."
        ),
        click.option("--sort", type=click.Choice(["newest", "oldest", "ends"]), help="The order. [default: newest]"),
    ),
    _DELEGATION.show_command("Show one delegation."),
    edit_delegation,
    disable_delegation,
    enable_delegation,
    revoke_delegation,
):
    delegations.add_command(command)
