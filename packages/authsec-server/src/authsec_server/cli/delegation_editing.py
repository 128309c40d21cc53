"""`authsec delegations edit`: what a trust delegation gives from now on."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from authsec_server.cli.audience_check import may_be_misspelt, refuse_misspelt
from authsec_server.cli.caller import Caller, path
from authsec_server.cli.changing import change_command, edit
from authsec_server.cli.delegation_shown import TARGETS, shown, warned
from authsec_server.cli.edited_lists import edited, list_options
from authsec_server.cli.output import Output
from authsec_server.cli.units import DURATION

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
    """Change a delegation: what is not named stays. DELEGATION is its slug or id.

    Where it gives less than before, the tokens that had more end; what stops is said first. Its role and its agent
    are fixed: to change them, revoke it and create another. A name that no API has is not added as an audience without
    --yes where the slug of an API is much like the name, and where no API is registered.
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
