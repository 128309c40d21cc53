"""`authsec delegations`: manage trust delegations, which let an agent act in a role for certain actions and times."""

from __future__ import annotations

from functools import partial
from typing import Any

import click
from authsec.lazy_commands import Commands

from authsec_server.cli.audience_check import may_be_misspelt, refuse_misspelt
from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import ask_first, ask_for_good, change_command, edit, ended, foreseen, yes_option
from authsec_server.cli.delegation_shown import STATES, TARGETS, for_whom, in_full, revoked_since, row, shown, warned
from authsec_server.cli.output import Output, table
from authsec_server.cli.paging import Paged, note_more, page_options
from authsec_server.cli.params import DURATION, edited, list_options

_LISTS = ("actions", "audiences", "excluded_proofs")


@click.command("edit")
@click.argument("delegation")
@list_options("action", "actions", "actions of the role")
@click.option("--all-actions", is_flag=True, help="All actions that the role has now.")
@click.option("--max-duration", type=DURATION, help="No token lives longer.")
@list_options("audience", "audiences", "APIs, by slug, URL or registered name")
@click.option("--default-audience", is_flag=True, help="For the shared default audience, and no API by name.")
@click.option("--ends-at", help="When it ends by itself, e.g. 2026-12-31T18:00:00Z.")
@click.option("--no-end", is_flag=True, help="It ends only when it is revoked.")
@list_options("excluded-proof", "excluded_proofs", "kinds of proof that do not suffice")
@click.option("--target", "target_type", help=f"Another target type: {TARGETS}.")
@click.option("--owner", help="Who answers for it.")
@click.option("--description", help="Why it exists.")
@click.option("--slug", help="What to call it where an id is asked for.")
@click.option("--yes", is_flag=True, help="Do it without asking, also for an audience that looks misspelt.")
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
    """Change a delegation. DELEGATION is its slug or id.

    Fields without an option stay as they are. If the change removes authority, the tokens with more authority
    are revoked. The command first shows the impact. The role and the agent of a delegation are fixed: to change
    them, revoke the delegation and create another one.

    The command refuses to add an audience that looks misspelt, unless --yes is given. A name without an API
    looks misspelt if an API has a similar slug or if no API is registered.
    """
    if all_actions and any(asked[f"{prefix}actions"] for prefix in ("", "added_", "removed_")):
        raise click.UsageError("--all-actions are all of them: name none besides.")
    if no_end and ends_at:
        raise click.UsageError("--no-end, or --ends-at: not both.")
    where = path("delegations", delegation)
    found = caller.get(where)
    for name in _LISTS:
        whole, added, removed = asked.pop(name), asked.pop(f"added_{name}"), asked.pop(f"removed_{name}")
        asked[name] = edited(found[name], whole, added, removed)
    asked |= {"all_actions": all_actions or None, "ends_at": ends_at}
    if default_audience:
        asked["audiences"] = []
    new = set(asked["audiences"] or ()) - set(found["audiences"])
    check = partial(refuse_misspelt, undone="Nothing was changed.") if may_be_misspelt(new) else None
    done = edit(caller, output, where, found, asked, yes=yes, cleared=["ends_at"] if no_end else [], check=check)
    output.result(done, shown(done), *warned(done))


_OUT = ", and those that were out have ended."

_ROOM_FOR_ACTIONS = 110  # columns of a terminal that can show audiences and actions beside the rest


@click.group(cls=Commands)
def delegations() -> None:
    """Manage trust delegations: which agent may act in which role, for which actions and how long."""


delegations.add_command(edit_delegation)


@delegations.command("create")
@click.option("--role", required=True, help="The role, by slug or id.")
@click.option("--agent", "--client", "client", required=True, help="The agent, by slug or client_id.")
@click.option("--target", "target_type", required=True, help=f"Target type: {TARGETS}.")
@click.option("--action", "actions", multiple=True, help="An action of the role, e.g. customers:read. Repeat.")
@click.option("--all-actions", is_flag=True, help="All actions that the role has now; later ones are not included.")
@click.option("--max-duration", type=DURATION, default="1h", show_default=True, help="No token lives longer.")
@click.option("--audience", "audiences", multiple=True, help="An API, by slug, URL or registered name. Repeat.")
@click.option("--ends-at", help="When it ends by itself, e.g. 2026-12-31T18:00:00Z.")
@click.option("--exclude-proof", "excluded_proofs", multiple=True, help="A kind of proof that shall not suffice.")
@click.option("--owner", help="Who answers for it. [default: you]")
@click.option("--description", default="", help="Why it exists.")
@click.option("--slug", help="What to call it where an id is asked for. [default: made of agent and role]")
@click.option("--yes", is_flag=True, help="Also for an audience that looks misspelt.")
@change_command
def create_delegation(caller: Caller, output: Output, actions: tuple[str, ...], yes: bool, **options: Any) -> None:
    """Create a trust delegation: the agent can get tokens for the actions, within the role.

    An audience need not be a registered API. But the command refuses an audience that looks misspelt, unless
    --yes is given. A name without an API looks misspelt if an API has a similar slug or if no API is
    registered.
    """
    if bool(actions) == options["all_actions"]:
        raise click.UsageError("Give --action (repeat it for several) or --all-actions.")
    many = {name: list(options.pop(name)) for name in ("audiences", "excluded_proofs")}
    body = {**options, **many, "actions": list(actions)}
    if not yes and may_be_misspelt(many["audiences"]):
        refuse_misspelt(foreseen(caller, "delegations", body), "Nothing was created.")
    delegation = caller.post("delegations", body)
    output.result(delegation, shown(delegation), *warned(delegation))


@delegations.command("list")
@click.option("--agent", "--client", "client", help="Only those to this agent, by slug or client_id.")
@click.option("--role", help="Only those of this role, by slug or id.")
@click.option("--state", type=click.Choice(STATES), help="Only those that are so now.")
@click.option("--audience", help="Only those that name this audience.")
@click.option("--target", "target_type", help=f"Only those for this target type: {TARGETS}.")
@click.option("--owner", help="Only those of this owner; the whole name.")
@click.option("--text", help="Part of the slug, of the role's or the agent's name; how the id begins.")
@click.option("--sort", type=click.Choice(["newest", "oldest", "ends"]), help="The order. [default: newest]")
@page_options
@admin_command
def list_delegations(caller: Caller, output: Output, paged: Paged, **filters: str | None) -> None:
    """List the delegations, newest first. A delegation must match all filters."""
    answer = paged.of(caller, "delegations", **filters)
    heads = ("DELEGATION", "ROLE", "AGENT", "MAX", "STATE", "AUDIENCES", "ACTIONS")
    shown_heads = heads if output.console.width >= _ROOM_FOR_ACTIONS else heads[:5]
    rows = [row(each)[: len(shown_heads)] for each in answer["items"]]
    output.result(answer, table(shown_heads, rows, whole=("DELEGATION",)))
    note_more(output, answer)


@delegations.command("show")
@click.argument("delegation")
@admin_command
def show_delegation(caller: Caller, output: Output, delegation: str) -> None:
    """Show one delegation. DELEGATION is its slug or id."""
    found = caller.get(path("delegations", delegation))
    output.result(found, shown(found), *warned(found))


@delegations.command("disable")
@click.argument("delegation")
@yes_option
@change_command
def disable_delegation(caller: Caller, output: Output, delegation: str, yes: bool) -> None:
    """Disable a delegation: its tokens are revoked, and it allows no new tokens. DELEGATION is its slug or id.

    The command shows the impact first. APIs that do not follow revocations accept an issued token until the
    token expires.
    """
    its, where = caller.get(path("delegations", delegation)), path("delegations", delegation, "disable")
    told = ask_first(caller, output, where, f"Disable {in_full(its)}?", yes=yes)
    found = caller.post(where)
    output.result(found, f"{for_whom(found)} is {found['state']}: it gives no more tokens{ended(told, _OUT)}")


@delegations.command("enable")
@click.argument("delegation")
@change_command
def enable_delegation(caller: Caller, output: Output, delegation: str) -> None:
    """Enable a disabled delegation. DELEGATION is its slug or id."""
    found = caller.post(path("delegations", delegation, "enable"))
    output.result(found, f"{for_whom(found)} is {found['state']}: it gives tokens again.")


@delegations.command("revoke")
@click.argument("delegation")
@yes_option
@change_command
def revoke_delegation(caller: Caller, output: Output, delegation: str, yes: bool) -> None:
    """Revoke a delegation and its tokens for good. DELEGATION is its slug or id.

    The delegation allows no new tokens. The command shows the impact first. APIs that do not follow revocations
    accept an issued token until the token expires.
    """
    its, where = caller.get(path("delegations", delegation)), path("delegations", delegation, "revoke")
    told = None
    if its["revoked_at"] is None:
        told = ask_for_good(caller, output, where, f"Revoke {in_full(its)} for good?", yes=yes)
    found = caller.post(where)
    if its["revoked_at"]:
        output.result(found, f"{for_whom(found)} was revoked already, at {revoked_since(found)}.")
        return
    output.result(found, f"{for_whom(found)} is revoked for good: it gives no more tokens{ended(told, _OUT)}")
