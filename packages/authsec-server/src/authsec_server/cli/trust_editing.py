"""`authsec trust edit`, `rbac` and `check`: what a cluster is asked, what that takes, and whether it works."""

from __future__ import annotations

from typing import Any

import click

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.cluster_rbac import ACCOUNT, NAMESPACE, permissions, steps, token_command
from authsec_server.cli.kubeconfig import read_kubeconfig
from authsec_server.cli.lookup_options import from_kubeconfig, lookup_options, lookups
from authsec_server.cli.output import Output
from authsec_server.cli.trust_shown import shown, shown_lookups


@click.command("edit")
@click.argument("source")
@click.option("--name", help="Another name.")
@from_kubeconfig("Read where the API server is, and whom to trust there, from your kubeconfig.")
@lookup_options
@admin_command
def edit(caller: Caller, output: Output, source: str, name: str | None, context: str | None, **options: Any) -> None:
    """Change what a cluster is asked beyond its tokens, or a trust source's name. SOURCE is its slug or id.

    What is not named stays. Reviews that were not made before, pods that are looked up no more, or another API server
    end the tokens that rest on the source.
    """
    asked = lookups(options, None if context is None else read_kubeconfig(context))
    if name is not None:
        asked["name"] = name
    if not asked:
        raise click.UsageError("What is to change? Name it, e.g. --pod-lookup or --no-token-review.")
    found = caller.get(path("sources", source))
    edited = caller.post(path("sources", source), {"revision": found["revision"], **asked})
    more = needs_more(found, edited)
    output.result(edited, shown(edited), *(steps(edited) if more else ()))


@click.command("rbac")
@click.argument("source")
@click.option("--namespace", default=NAMESPACE, show_default=True, help="Namespace of the account.")
@click.option(
    "--account", default=ACCOUNT, show_default=True, help="The account that asks, as the authority's pod's own."
)
@admin_command
def rbac(caller: Caller, output: Output, source: str, namespace: str, account: str) -> None:
    """Show what a cluster has to permit for its look-ups, for `kubectl apply -f -`. SOURCE is its slug or id."""
    found = caller.get(path("sources", source))
    text, line = permissions(found, namespace, account), token_command(found, namespace, account)
    output.result({"manifest": text, "token_command": line}, *text.splitlines())
    if not output.as_json:
        output.note("Then put that account's token where the authority reads it, on its machine:")
        output.note(f"  {line}")


@click.command("check")
@click.argument("source")
@admin_command
def check(caller: Caller, output: Output, source: str) -> None:
    """Ask a cluster now, to see whether its look-ups work. SOURCE is its slug or id."""
    states = caller.post(path("sources", source, "lookups"))
    output.result(states, *(shown_lookups(states) or ["Nothing is looked up in it."]))
    if any(state["failure"] for state in states.values()):
        raise SystemExit(1)


def needs_more(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether the cluster is asked something that it was not asked before."""
    return any(after[each] and not before[each] for each in ("token_review", "pod_lookup"))
