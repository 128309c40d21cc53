"""`authsec issuers`: manage the trusted issuers, and the proofs that depend on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from authsec.lazy_commands import Commands

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import change_command, confirm_permanent, deleting, yes_option
from authsec_server.cli.issuers_add import add
from authsec_server.cli.issuers_edit import check, edit, rbac
from authsec_server.cli.issuers_text import resting, shown, shown_keys, shown_lookups, state_of
from authsec_server.cli.issuers_try import try_token
from authsec_server.cli.output import Output, styled, table, when
from authsec_server.cli.resource import Resource
from authsec_server.cli.transport import CallFailed


@click.command("bind")
@click.argument("trusted_issuer")
@click.argument("proofs", nargs=-1, metavar="[PROOF]...")
@click.option("--all", "every", is_flag=True, help="Bind all proofs that wait for a trusted issuer of this kind.")
@change_command
def bind(caller: Caller, output: Output, trusted_issuer: str, proofs: tuple[str, ...], every: bool) -> None:
    """Bind proofs to a trusted issuer. Without PROOF and without --all, list the unbound proofs that fit the issuer.

    TRUSTED_ISSUER is the trusted issuer's slug or id. PROOF is the id of a proof.
    """
    if proofs and every:
        raise click.UsageError("Give proofs or --all, not both.")
    if not proofs and not every:
        users = caller.get(path("issuers", trusted_issuer, "users"))
        _show_waiting(caller, output, trusted_issuer, users)
        return
    bound: list[Mapping[str, Any]] = []
    more = True
    while more:  # many are bound in several changes
        answer = caller.post(path("issuers", trusted_issuer, "bind"), {"proofs": list(proofs) or None})
        bound, more = [*bound, *answer["bound"]], answer["more"]
    rows = [(each["name"], each["proof_id"]) for each in bound]
    shown = table(("AGENT", "PROOF"), rows, whole=("PROOF",)) if rows else "No proof could be bound."
    output.result({"bound": bound}, shown)


@click.command("remove")
@click.argument("trusted_issuer")
@click.option(
    "--with-proofs",
    is_flag=True,
    help="Also remove the proofs that depend on the trusted issuer, and revoke their tokens.",
)
@yes_option
@change_command
def remove(caller: Caller, output: Output, trusted_issuer: str, with_proofs: bool, yes: bool) -> None:
    """Remove a trusted issuer, and revoke the tokens that depend on it.

    TRUSTED_ISSUER is the trusted issuer's slug or id. The command shows the impact first.
    """
    where = path("issuers", trusted_issuer) + ("?with_proofs=true" if with_proofs else "")
    confirm_permanent(caller, output, where, f"Remove {trusted_issuer} permanently?", yes=yes, send=deleting(caller))
    taken, left = 0, 1
    while left:  # many go in several changes
        answer = caller.delete(where)
        taken, left = taken + answer["proofs"], answer["left"]
    gone = f"{answer['slug']} is removed" + (f", and {taken} proofs with it." if taken else ".")
    output.result({"slug": answer["slug"], "proofs": taken}, gone)


def _show_waiting(caller: Caller, output: Output, trusted_issuer: str, users: Mapping[str, Any]) -> None:
    rows = [
        (each["name"], "\n".join(f"{one['key']} = {one['value']}" for one in each["selectors"]), each["proof_id"])
        for each in users["waiting"]
    ]
    if not rows:
        output.result(users, "No proof waits for a trusted issuer of this kind.")
        return
    shown = table(("AGENT", "SELECTORS", "PROOF"), rows, whole=("PROOF",))
    line = caller.follow_up("issuers", "bind", trusted_issuer, "--all")
    output.result(users, shown, "", styled("To bind all these proofs to this trusted issuer:", "dim"), f"  {line}")


@click.command("show")
@click.argument("trusted_issuer")
@admin_command
def show_trusted_issuer(caller: Caller, output: Output, trusted_issuer: str) -> None:
    """Show one trusted issuer: its selectors, keys and look-ups. TRUSTED_ISSUER is the trusted issuer's slug or id."""
    found = caller.get(path("issuers", trusted_issuer))
    keys = caller.get(path("issuers", trusted_issuer, "keys"))
    lookups = caller.get(path("issuers", trusted_issuer, "lookups"))
    users = caller.get(path("issuers", trusted_issuer, "users"))
    facts = [shown(found), "", resting(users), "", *shown_lookups(lookups), *shown_keys(keys)]
    resting_on_it = {name: users[name] for name in ("proofs", "clients", "stranded")}
    output.result({**found, "keys": keys, "lookups": lookups, "users": resting_on_it}, *facts)


@click.command("refresh")
@click.argument("trusted_issuer")
@admin_command
def refresh_trusted_issuer(caller: Caller, output: Output, trusted_issuer: str) -> None:
    """Fetch a trusted issuer's keys now. TRUSTED_ISSUER is the trusted issuer's slug or id.

    The command fails if the keys cannot be fetched. The previous keys stay in use until they are too old.
    """
    keys: Mapping[str, Any] = caller.post(path("issuers", trusted_issuer, "refresh"))
    if not keys["failure"]:
        output.result(keys, *shown_keys(keys))
        return
    held = shown_keys({**keys, "failure": ""}) if keys["fetched_at"] else ()  # the failure is said last, and once
    output.result(keys, *held)
    until = f"The previous keys are used until {when(keys['usable_until'])} UTC."
    raise CallFailed(
        f"The keys of {trusted_issuer} could not be fetched: {keys['failure']}.",
        until if keys["condition"] in {"fresh", "stale"} else "Its tokens are not accepted until the keys are fetched.",
    )


_ISSUER = Resource(
    path="issuers/{trusted_issuer}",
    accepts="TRUSTED_ISSUER is the trusted issuer's slug or id.",
    columns={"TRUSTED ISSUER": "slug", "KIND": "kind", "ISSUER": "issuer", "STATE": state_of},
    whole="TRUSTED ISSUER",
)


@click.group(cls=Commands)
def issuers() -> None:
    """Manage trusted issuers: Kubernetes clusters, SPIFFE trust domains and OpenID Connect issuers."""


for command in (
    add,
    bind,
    check,
    edit,
    _ISSUER.list_command("List the trusted issuers."),
    show_trusted_issuer,
    refresh_trusted_issuer,
    _ISSUER.verb_command(
        "disable",
        """Disable a trusted issuer, and revoke the tokens that depend on it.

        The command shows the impact first.
        """,
        question="Disable {trusted_issuer}?",
        done="{slug} is disabled: its tokens are not accepted.",
    ),
    _ISSUER.verb_command("enable", "Enable a disabled trusted issuer.", done="{slug} is enabled."),
    rbac,
    remove,
    try_token,
):
    issuers.add_command(command)
