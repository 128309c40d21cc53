"""`authsec delegations`: which agent may act in which role, for which actions and how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.text import Text

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.ending import ask_first, yes_option
from authsec_server.cli.output import Output, block, cell, styled, table, when
from authsec_server.cli.paging import note_more, page_options
from authsec_server.cli.units import DURATION, as_typed

_ROOM_FOR_ACTIONS = 110  # columns of a terminal that can show the actions beside the rest
_DEFAULT = "the shared default"  # of audiences
_OUT = "those that were out have ended"
_STYLES = {"live": "green", "disabled": "yellow", "ended": "dim", "revoked": "red"}


@click.group()
def delegations() -> None:
    """Trust delegations: which agent may act in which role, for which actions and how long."""


@delegations.command("create")
@click.option("--role", required=True, help="The role, by slug or id.")
@click.option("--client", required=True, help="The agent, by slug or client_id.")
@click.option("--target", "target_type", required=True, help='Target type, e.g. "AutoGen AI agent".')
@click.option("--action", "actions", multiple=True, help="An action of the role, e.g. customers:read. Repeat.")
@click.option("--all-actions", is_flag=True, help="All actions that the role has now; later ones are not included.")
@click.option("--max-duration", type=DURATION, default="1h", show_default=True, help="No token lives longer.")
@click.option("--audience", "audiences", multiple=True, help="An API, by slug, URL or registered name. Repeat.")
@click.option("--ends-at", help="When it ends by itself, e.g. 2026-12-31T18:00:00Z.")
@click.option("--exclude-proof", "excluded_proofs", multiple=True, help="A kind of proof that shall not suffice.")
@click.option("--owner", help="Who answers for it. [default: you]")
@click.option("--description", default="", help="Why it exists.")
@click.option("--slug", help="What to call it where an id is asked for. [default: made of agent and role]")
@admin_command
def create_delegation(caller: Caller, output: Output, actions: tuple[str, ...], **options: Any) -> None:
    """Delegate: tokens for the actions, within the role, for the agent."""
    if bool(actions) == options["all_actions"]:
        raise click.UsageError("Give --action (repeat it for several) or --all-actions.")
    many = {name: list(options.pop(name)) for name in ("audiences", "excluded_proofs")}
    delegation = caller.post("delegations", {**options, **many, "actions": list(actions)})
    output.result(delegation, _shown(delegation), *_warned(delegation))


@delegations.command("list")
@page_options
@admin_command
def list_delegations(caller: Caller, output: Output, limit: int, cursor: str | None) -> None:
    """List the delegations, the newest first."""
    answer = caller.get("delegations", limit=limit, cursor=cursor)
    wide = output.console.width >= _ROOM_FOR_ACTIONS
    heads = ("DELEGATION", "ROLE", "AGENT", "MAX", "STATE", "AUDIENCES", "ACTIONS")[: 7 if wide else 5]
    rows = [_row(each, " " if wide else "\n")[: len(heads)] for each in answer["items"]]
    output.result(answer, table(heads, rows, whole=("DELEGATION",)))
    note_more(output, answer)


@delegations.command("show")
@click.argument("delegation")
@admin_command
def show_delegation(caller: Caller, output: Output, delegation: str) -> None:
    """Show one delegation. DELEGATION is its slug or id."""
    found = caller.get(path("delegations", delegation))
    output.result(found, _shown(found), *_warned(found))


@delegations.command("disable")
@click.argument("delegation")
@yes_option
@admin_command
def disable_delegation(caller: Caller, output: Output, delegation: str, yes: bool) -> None:
    """Turn a delegation off: it gives no more tokens, and its tokens end. DELEGATION is its slug or id.

    What stops is said first. APIs that do not follow revocations take a token that is out until it expires.
    """
    its, where = caller.get(path("delegations", delegation)), path("delegations", delegation, "disable")
    ask_first(caller, output, where, f"Disable {_in_full(its)}?", yes=yes)
    found = caller.post(where)
    output.result(found, f"{_title(found)} is {found['state']}: it gives no more tokens, and {_OUT}.")


@delegations.command("enable")
@click.argument("delegation")
@admin_command
def enable_delegation(caller: Caller, output: Output, delegation: str) -> None:
    """Turn a delegation on again. DELEGATION is its slug or id."""
    found = caller.post(path("delegations", delegation, "enable"))
    output.result(found, f"{_title(found)} is {found['state']}: it gives tokens again.")


@delegations.command("revoke")
@click.argument("delegation")
@yes_option
@admin_command
def revoke_delegation(caller: Caller, output: Output, delegation: str, yes: bool) -> None:
    """End a delegation for good: it gives no more tokens, and its tokens end. DELEGATION is its slug or id.

    What stops is said first. APIs that do not follow revocations take a token that is out until it expires.
    """
    its, where = caller.get(path("delegations", delegation)), path("delegations", delegation, "revoke")
    ask_first(caller, output, where, f"Revoke {_in_full(its)} for good?", yes=yes)
    found = caller.post(where)
    output.result(found, f"{_title(found)} is revoked for good: it gives no more tokens, and {_OUT}.")


def _row(delegation: Mapping[str, Any], beside: str) -> tuple[object, ...]:
    return (
        delegation["slug"] or delegation["id"],
        delegation["role"]["slug"],
        _client(delegation, beside),
        as_typed(delegation["max_duration"]),
        _state(delegation),
        _audiences(delegation),
        delegation["actions"],
    )


def _shown(delegation: Mapping[str, Any]) -> Text:
    return block(
        {
            "delegation": delegation["id"],
            "slug": delegation["slug"] or "given up to a later one",
            "state": _state(delegation),
            "role": delegation["role"]["slug"],
            "agent": _client(delegation),
            "client_id": delegation["client"]["id"],
            "target type": delegation["target_type"],
            "actions": delegation["actions"],
            "max duration": as_typed(delegation["max_duration"]),
            "audiences": _audiences(delegation),
            "excluded proofs": delegation["excluded_proofs"],
            "ends": f"{when(delegation['ends_at'])} UTC" if delegation["ends_at"] else "when it is revoked",
            "owner": delegation["owner"],
            "description": delegation["description"],
            "created": f"{when(delegation['created_at'])} UTC",
        }
    )


def _warned(delegation: Mapping[str, Any]) -> list[Text | str]:
    """The API's warnings, each a line; red where anybody could be the agent."""
    lines: list[Text | str] = [
        styled("! ", "bold red" if warning["code"] == "client_unattested" else "yellow").append(
            cell(warning["message"])
        )
        for warning in delegation["warnings"]
    ]
    return ["", *lines] if lines else []


def _client(delegation: Mapping[str, Any], beside: str = " ") -> Text:
    name = cell(delegation["client"]["slug"])
    if delegation["client"]["unattested"]:
        name.append(beside).append("UNATTESTED", "bold red")
    return name


def _state(delegation: Mapping[str, Any]) -> Text:
    return styled(delegation["state"], _STYLES.get(delegation["state"], ""))


def _title(delegation: Mapping[str, Any]) -> str:
    return f"{delegation['role']['slug']} → {delegation['client']['slug']}"


def _audiences(delegation: Mapping[str, Any]) -> object:
    return delegation["audiences"] or _DEFAULT


def _in_full(delegation: Mapping[str, Any]) -> str:
    """Which one it is, for whoever is asked whether it is meant."""
    where = ", ".join(delegation["audiences"]) or _DEFAULT
    return f"{_title(delegation)} ({', '.join(delegation['actions'])} at {where})"
