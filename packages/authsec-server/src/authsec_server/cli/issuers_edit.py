"""`authsec issuers edit`, `rbac` and `check`: change a trusted issuer, and prepare and test its look-ups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import change_command, confirm_if_tokens_end, editing, yes_option
from authsec_server.cli.issuers_add import ACCOUNT, NAMESPACE, named_keys, permissions, prepared, steps, token_command
from authsec_server.cli.issuers_text import counted, shown, shown_lookups
from authsec_server.cli.kubeconfig import read_kubeconfig
from authsec_server.cli.lookup_options import FILE, certificates, from_kubeconfig, lookup_options, lookups
from authsec_server.cli.output import Output
from authsec_server.cli.params import name_option
from authsec_server.issuers.model import TrustedIssuerKind

_ELSEWHERE = frozenset({"keys_from", "ca", "api_server", "api_ca"})  # with these, what counted may count no more


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
