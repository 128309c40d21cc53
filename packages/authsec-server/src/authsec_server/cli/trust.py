"""`authsec trust`: whose word counts for which agents, and the proofs that rest on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from authsec.lazy_commands import Commands

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import ask_first, ask_for_good, change_command, deleting, yes_option
from authsec_server.cli.output import Output, styled, table, when
from authsec_server.cli.paging import Paged, note_more, page_options
from authsec_server.cli.transport import CallFailed
from authsec_server.cli.trust_adding import add
from authsec_server.cli.trust_editing import check, edit, rbac
from authsec_server.cli.trust_shown import resting, shown, shown_keys, shown_lookups, state_of
from authsec_server.cli.trust_trying import try_token


@click.command("bind")
@click.argument("source")
@click.argument("proofs", nargs=-1, metavar="[PROOF]...")
@click.option("--all", "every", is_flag=True, help="All that wait for a trust source like this one.")
@change_command
def bind(caller: Caller, output: Output, source: str, proofs: tuple[str, ...], every: bool) -> None:
    """Have proofs rest on a trust source; without PROOF and --all, show those that wait for one like it.

    SOURCE is its slug or id, PROOF the id of a proof.
    """
    if proofs and every:
        raise click.UsageError("Name proofs, or all with --all: not both.")
    if not proofs and not every:
        users = caller.get(path("sources", source, "users"))
        _show_waiting(caller, output, source, users)
        return
    bound: list[Mapping[str, Any]] = []
    more = True
    while more:  # many are bound in several changes
        answer = caller.post(path("sources", source, "bind"), {"proofs": list(proofs) or None})
        bound, more = [*bound, *answer["bound"]], answer["more"]
    rows = [(each["name"], each["proof_id"]) for each in bound]
    shown = table(("AGENT", "PROOF"), rows, whole=("PROOF",)) if rows else "Nothing waits for it."
    output.result({"bound": bound}, shown)


@click.command("remove")
@click.argument("source")
@click.option("--with-proofs", is_flag=True, help="The proofs that rest on it, too: their tokens end.")
@yes_option
@change_command
def remove(caller: Caller, output: Output, source: str, with_proofs: bool, yes: bool) -> None:
    """Remove a trust source, and end the tokens that rest on it. SOURCE is its slug or id.

    What stops is said first.
    """
    where = path("sources", source) + ("?with_proofs=true" if with_proofs else "")
    ask_for_good(caller, output, where, f"Remove {source} for good?", yes=yes, send=deleting(caller))
    taken, left = 0, 1
    while left:  # many go in several changes
        answer = caller.delete(where)
        taken, left = taken + answer["proofs"], answer["left"]
    gone = f"{answer['slug']} is removed" + (f", and {taken} proofs with it." if taken else ".")
    output.result({"slug": answer["slug"], "proofs": taken}, gone)


def _show_waiting(caller: Caller, output: Output, source: str, users: Mapping[str, Any]) -> None:
    rows = [
        (each["name"], "\n".join(f"{one['key']} = {one['value']}" for one in each["selectors"]), each["proof_id"])
        for each in users["waiting"]
    ]
    if not rows:
        output.result(users, "No proof waits for a trust source like this one.")
        return
    shown = table(("AGENT", "SELECTORS", "PROOF"), rows, whole=("PROOF",))
    line = caller.follow_up("trust", "bind", source, "--all")
    output.result(users, shown, "", styled("Have all of them rest on it:", "dim"), f"  {line}")


@click.group(cls=Commands)
def trust() -> None:
    """Trust sources: clusters, trust domains and issuers whose word counts."""


for command in (add, bind, check, edit, rbac, remove, try_token):
    trust.add_command(command)


@trust.command("list")
@page_options
@admin_command
def list_sources(caller: Caller, output: Output, paged: Paged) -> None:
    """List the trust sources."""
    answer = paged.of(caller, "sources")
    rows = [(each["slug"], each["kind"], each["issuer"], state_of(each)) for each in answer["items"]]
    output.result(answer, table(("SOURCE", "KIND", "ISSUER", "STATE"), rows, whole=("SOURCE",)))
    note_more(output, answer)


@trust.command("show")
@click.argument("source")
@admin_command
def show_source(caller: Caller, output: Output, source: str) -> None:
    """Show one trust source, what it proves, its keys and its look-ups. SOURCE is its slug or id."""
    found = caller.get(path("sources", source))
    keys = caller.get(path("sources", source, "keys"))
    lookups = caller.get(path("sources", source, "lookups"))
    users = caller.get(path("sources", source, "users"))
    facts = [shown(found), "", resting(users), "", *shown_lookups(lookups), *shown_keys(keys)]
    resting_on_it = {name: users[name] for name in ("proofs", "clients", "stranded")}
    output.result({**found, "keys": keys, "lookups": lookups, "users": resting_on_it}, *facts)


@trust.command("refresh")
@click.argument("source")
@admin_command
def refresh_source(caller: Caller, output: Output, source: str) -> None:
    """Fetch a trust source's keys now. SOURCE is its slug or id.

    It fails if they cannot be fetched; those of before stay in use until they are too old.
    """
    keys: Mapping[str, Any] = caller.post(path("sources", source, "refresh"))
    if not keys["failure"]:
        output.result(keys, *shown_keys(keys))
        return
    held = shown_keys({**keys, "failure": ""}) if keys["fetched_at"] else ()  # the failure is said last, and once
    output.result(keys, *held)
    until = f"Those of before are used until {when(keys['usable_until'])} UTC."
    raise CallFailed(
        f"The keys of {source} could not be fetched: {keys['failure']}.",
        until if keys["condition"] in {"fresh", "stale"} else "It proves nothing until they can be.",
    )


@trust.command("disable")
@click.argument("source")
@yes_option
@change_command
def disable_source(caller: Caller, output: Output, source: str, yes: bool) -> None:
    """Let a trust source's word count no more, and end the tokens that rest on it. SOURCE is its slug or id.

    What stops is said first.
    """
    where = path("sources", source, "disable")
    ask_first(caller, output, where, f"Disable {source}?", yes=yes)
    found = caller.post(where)
    output.result(found, f"{found['slug']} is disabled: what it says proves nothing.")


@trust.command("enable")
@click.argument("source")
@change_command
def enable_source(caller: Caller, output: Output, source: str) -> None:
    """Let a trust source's word count again. SOURCE is its slug or id."""
    found = caller.post(path("sources", source, "enable"))
    output.result(found, f"{found['slug']} is enabled: its word counts again.")
