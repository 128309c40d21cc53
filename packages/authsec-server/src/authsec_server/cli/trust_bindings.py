"""`authsec trust bind` and `authsec trust remove`: the proofs that rest on a trust source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from authsec_server.cli.caller import Caller, path
from authsec_server.cli.changing import change_command
from authsec_server.cli.ending import ask_for_good, deleting, yes_option
from authsec_server.cli.output import Output, styled, table


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
