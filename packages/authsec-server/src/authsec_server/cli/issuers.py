"""`authsec issuers`: list, edit, check and remove trusted issuers, and bind the proofs that depend on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from authsec.lazy_commands import Commands

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import (
    change_command,
    confirm_if_tokens_end,
    confirm_permanent,
    deleting,
    editing,
    yes_option,
)
from authsec_server.cli.issuers_add import (
    ACCOUNT,
    NAMESPACE,
    add,
    named_keys,
    permissions,
    prepared,
    steps,
    token_command,
)
from authsec_server.cli.issuers_text import counted, resting, shown, shown_keys, shown_lookups, state_of
from authsec_server.cli.issuers_try import try_token
from authsec_server.cli.kubeconfig import FILE, certificates, from_kubeconfig, lookup_options, lookups, read_kubeconfig
from authsec_server.cli.output import Output, styled, table, when
from authsec_server.cli.params import name_option
from authsec_server.cli.resource import Resource
from authsec_server.cli.transport import CallFailed
from authsec_server.issuers.model import TrustedIssuerKind

_ELSEWHERE = frozenset({"keys_from", "ca", "api_server", "api_ca"})  # a change of these fields can revoke tokens
_ISSUER = Resource(
    path="issuers/{trusted_issuer}",
    accepts="TRUSTED_ISSUER is the trusted issuer's slug or id.",
    columns={"TRUSTED ISSUER": "slug", "KIND": "kind", "ISSUER": "issuer", "STATE": state_of},
    whole="TRUSTED ISSUER",
)


@click.group(cls=Commands)
def issuers() -> None:
    """Manage trusted issuers: Kubernetes clusters, SPIFFE trust domains and OpenID Connect issuers."""


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
    while more:  # the server binds many proofs in several changes
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
    while left:  # the server removes many proofs in several changes
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
    held = shown_keys({**keys, "failure": ""}) if keys["fetched_at"] else ()  # the error below names the failure
    output.result(keys, *held)
    until = f"The previous keys are used until {when(keys['usable_until'])} UTC."
    raise CallFailed(
        f"The keys of {trusted_issuer} could not be fetched: {keys['failure']}.",
        until if keys["condition"] in {"fresh", "stale"} else "Its tokens are not accepted until the keys are fetched.",
    )


@click.command("edit")
@click.argument("trusted_issuer")
@name_option
@from_kubeconfig("Read the API server's address and certificates from your kubeconfig.")
@lookup_options
@click.option("--anyway", is_flag=True, help="Turn look-ups on even if the cluster does not answer.")
@click.option("--keys-url", help="New URL of the issuer's keys: of a JWK Set or a SPIFFE bundle.")
@click.option("--jwks", "--bundle", "keys", type=FILE, help="File with new keys: a JWK Set or a SPIFFE bundle.")
@click.option("--ca-file", type=FILE, help="PEM certificates to trust when the issuer's keys are fetched.")
@yes_option
@change_command
def edit(
    caller: Caller,
    output: Output,
    trusted_issuer: str,
    name: str | None,
    context: str | None,
    anyway: bool,
    keys_url: str | None,
    keys: Path | None,
    ca_file: Path | None,
    yes: bool,
    **options: Any,
) -> None:
    """Change a trusted issuer: its name, keys or look-ups. TRUSTED_ISSUER is the trusted issuer's slug or id.

    Fields without an option stay as they are. Some changes revoke the tokens that depend on the trusted issuer:
    removed keys, another source of keys, another API server, token review turned on, or pod look-up turned off.
    Before look-ups are turned on, the cluster is asked once. If the cluster does not answer, nothing is saved.
    The command shows the impact first.
    """
    asked = lookups(options, None if context is None else read_kubeconfig(context))
    if name is not None:
        asked["name"] = name
    if ca_file is not None:
        asked["ca"] = certificates(ca_file)
    if not asked and keys is None and keys_url is None:
        raise click.UsageError(
            "No change was given. Give an option, e.g. --jwks FILE, --pod-lookup or --no-token-review."
        )
    found = caller.get(path("issuers", trusted_issuer))
    if keys is not None or keys_url is not None:
        asked |= named_keys(TrustedIssuerKind(found["kind"]), keys_url, keys)
    _note_users(caller, output, found, asked)
    where, body, send = path("issuers", trusted_issuer), {"anyway": anyway, **asked}, editing(caller, found)
    confirm_if_tokens_end(caller, output, where, "Save it?", yes=yes, body=body, send=send)
    edited = send(where, body)
    output.result(edited, shown(edited), *(_asked_now(edited, anyway) if needs_more(found, edited) else ()))


@click.command("rbac")
@click.argument("trusted_issuer")
@click.option("--namespace", default=NAMESPACE, show_default=True, help="Namespace of the service account.")
@click.option(
    "--account",
    default=ACCOUNT,
    show_default=True,
    help="The service account that sends the requests, such as the account of the authority's pod.",
)
@click.option("--token-review", is_flag=True, help="Permit token reviews. [default: the look-ups that are on, or both]")
@click.option("--pod-lookup", is_flag=True, help="Permit pod look-ups. [default: the look-ups that are on, or both]")
@admin_command
def rbac(
    caller: Caller,
    output: Output,
    trusted_issuer: str,
    namespace: str,
    account: str,
    **wanted: bool,
) -> None:
    """Print the RBAC manifest for a cluster's look-ups, for `kubectl apply -f -`.

    TRUSTED_ISSUER is the trusted issuer's slug or id. The command also works before look-ups are turned on, so
    the cluster can grant the permissions first.
    """
    found = prepared(caller.get(path("issuers", trusted_issuer)), wanted)
    text, line = permissions(found, namespace, account), token_command(found, namespace, account)
    output.result({"manifest": text, "token_command": line}, *text.splitlines())
    if not output.as_json:
        output.note(
            "Then write a token of this service account to the file that the authority reads, on the authority's "
            "machine:"
        )
        output.note(f"  {line}")


@click.command("check")
@click.argument("trusted_issuer")
@admin_command
def check(caller: Caller, output: Output, trusted_issuer: str) -> None:
    """Test a cluster's look-ups now. TRUSTED_ISSUER is the trusted issuer's slug or id.

    The exit status is 1 if a look-up fails.
    """
    states = caller.post(path("issuers", trusted_issuer, "lookups"))
    output.result(
        states,
        *(shown_lookups(states) or ["AuthSec looks nothing up for this trusted issuer, so nothing was tested."]),
    )
    if any(state["failure"] for state in states.values()):
        raise SystemExit(1)


def _note_users(caller: Caller, output: Output, trusted_issuer: dict[str, Any], asked: Mapping[str, Any]) -> None:
    """Note the proofs and agents that the change can affect, if any, before the change is saved."""
    turned = {each for each in ("token_review", "pod_lookup") if each in asked and asked[each] != trusted_issuer[each]}
    on = [each for each in turned if asked[each]]
    ends = asked.keys() & _ELSEWHERE or "token_review" in on or "pod_lookup" in turned - {*on}
    users = caller.get(path("issuers", trusted_issuer["slug"], "users")) if on or ends else {"proofs": 0}
    if users["proofs"]:
        proofs, agents = counted(users["proofs"], "proof"), counted(users["clients"], "agent")
        output.note(
            f"{proofs} of {agents} depend{'s' * (users['proofs'] == 1)} on {trusted_issuer['slug']}."
            + (" If this change reduces trust, the tokens that depend on it are revoked." if ends else "")
            + (" While the cluster does not answer, agents in it get no token." if on else "")
        )


def _asked_now(trusted_issuer: dict[str, Any], anyway: bool) -> list[str]:
    """Return the message after more look-ups were turned on: that the cluster answers, or the remaining steps.

    With `anyway`, the cluster was not asked.
    """
    return steps(trusted_issuer) if anyway else ["", "The cluster answered with the new settings."]


def needs_more(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether the change turns on a look-up that was off before."""
    return any(after[each] and not before[each] for each in ("token_review", "pod_lookup"))


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
