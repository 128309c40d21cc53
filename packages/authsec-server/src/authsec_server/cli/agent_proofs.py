"""`authsec agents proofs`: the ways in which an agent may prove itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click
from authsec.lazy_commands import Commands
from rich.table import Table
from rich.text import Text

from authsec_server.cli.agent_secrets import lines, require_use_for, secret_file_option, with_secret
from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import ask_for_good, change_command, deleting, yes_option
from authsec_server.cli.files import read_beginning
from authsec_server.cli.output import Output, cell, styled, table, when
from authsec_server.cli.transport import CallFailed
from authsec_server.clients.model import Platform
from authsec_server.clients.selectors.parsing import KEYS, known_key
from authsec_server.sources.model import Provenance, shown_provenance

MAX_KEY_FILE = 16 * 1024


def evidence_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say how an agent proves itself, and calls it with what they say: `evidence`."""

    @click.option(
        "--platform",
        required=True,
        type=click.Choice([each.value for each in Platform]),
        help="Where it runs, or who vouches for it (spiffe, oidc); or key: it holds a key pair; or secret, the last "
        "resort: it sends a secret that is made for it; or unattested: it proves nothing.",
    )
    @click.option("--selector", "selectors", multiple=True, help="KEY=VALUE, e.g. k8s:ns=production. Repeat.")
    @click.option("--public-key", type=click.Path(path_type=Path, dir_okay=False), help="PEM file, for --platform key.")
    @click.option("--source", help="The trust source that vouches for it, where several could: its slug or id.")
    @wraps(command)
    def run(
        *arguments: Any,
        platform: str,
        selectors: tuple[str, ...],
        public_key: Path | None,
        source: str | None,
        **options: Any,
    ) -> None:
        if platform == Platform.KEY and public_key is None:
            raise click.UsageError(
                "--platform key needs --public-key FILE. `authsec keygen FILE` makes a pair, FILE and FILE.pub."
            )
        evidence = {
            "platform": platform,
            "selectors": [_selector(text) for text in selectors],
            "public_key": None if public_key is None else _read_public_key(public_key),
            "source": source,
        }
        command(*arguments, evidence=evidence, **options)

    return run


def shown(proof: Mapping[str, Any]) -> Text:
    """The proof, and what it is worth, in as many lines as that takes."""
    if proof["kind"] == "unattested":
        return styled("UNATTESTED", "bold red").append(": anybody who knows its client_id gets its authority", "red")
    if proof["kind"] == "secret":
        return styled("client secret, weak: whoever reads it once has it until it is rotated", "yellow")
    if proof["kind"] == "enrolled_key":
        told = f"enrolled key of {proof['machine'] or 'a machine'}, by {proof['enrolled_by']}, "
        return styled(f"{told}until {when(proof['expires_at'])} UTC", "yellow")
    if proof["kind"] == "key_pair":
        return cell(f"key pair with thumbprint {proof['thumbprint']}")
    rows = [cell(f"{each['key']} = {each['value']}").append(_proved(proof, each["key"])) for each in proof["selectors"]]
    if proof["source"]:
        rows.append(cell(f"by the word of {proof['source']['name']} ({proof['source']['slug']})"))
    if proof["caution"]:
        rows.append(styled(proof["caution"], "yellow"))
    if proof["missing"]:
        rows.append(styled(proof["missing"], "yellow"))
    return Text("\n").join(rows)


def _proved(proof: Mapping[str, Any], key: str) -> str:
    """How the trust source proves the selector, behind it."""
    how = (proof["provenance"] or {}).get(key)
    return f"  ({shown_provenance(key, Provenance(how)) if how in set(Provenance) else how})" if how else ""


def _selector(text: str) -> dict[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no value: write {_as_spire(text)}.", param_hint="--selector")
    return {"key": key, "value": value}


def _as_spire(text: str) -> str:
    """What is to be written where it is spelled as SPIRE spells it: `k8s:ns:production`."""
    parts = text.split(":")
    for upto in range(2, len(parts)):
        key, value = ":".join(parts[:upto]), ":".join(parts[upto:])
        if value and any(known_key(platform, key) for platform in KEYS):
            return f"{key}={value}"
    return "KEY=VALUE"


def _read_public_key(path: Path) -> str:
    """The file's text. A private key is refused here already, so that it does not leave this machine."""
    content = read_beginning(path, MAX_KEY_FILE + 1)
    if b"PRIVATE KEY" in content:
        public = path.with_name(f"{path.name}.pub")
        raise CallFailed(
            f"{path} holds a PRIVATE key, which belongs to the agent alone. It was not sent.",
            f"Give its public half: {public if public.exists() else 'the block that says BEGIN PUBLIC KEY'}",
        )
    if len(content) > MAX_KEY_FILE or b"BEGIN PUBLIC KEY" not in content:
        raise CallFailed(
            f"{path} is no public key in PEM form.",
            "Give the file that says BEGIN PUBLIC KEY; `authsec keygen FILE` makes one, FILE.pub.",
        )
    return content.decode("utf-8", "replace")


_LEAST = 8  # characters of an id: whoever types a number of the list removes nothing
_STATES = {
    "proves": ("proves", "green"),
    "weak": ("weak", "yellow"),
    "source_disabled": ("its trust source is disabled", "yellow"),
    "unattested": ("proves nothing", "bold red"),
    "expired": ("expired", "dim"),
}


@click.group(cls=Commands)
def proofs() -> None:
    """The proofs of an agent: any one of them suffices."""


@proofs.command("list")
@click.argument("agent")
@admin_command
def list_proofs(caller: Caller, output: Output, agent: str) -> None:
    """List the proofs of an agent. AGENT is its slug or client_id."""
    found = caller.get(path("clients", agent))
    output.result({"proofs": found["proofs"]}, _table(found))


@proofs.command("add")
@click.argument("agent")
@evidence_options
@click.option("--expires", help="When it ends, e.g. 2026-12-31T18:00:00Z. [default: never by itself]")
@secret_file_option
@change_command
def add_proof(
    caller: Caller,
    output: Output,
    agent: str,
    evidence: Mapping[str, Any],
    expires: str | None,
    secret_file: Path | None,
) -> None:
    """Let an agent prove itself in a further way. AGENT is its slug or client_id."""
    require_use_for(secret_file, evidence)
    body = {**evidence, "expires_at": expires}
    found = with_secret(secret_file, lambda: caller.post(path("clients", agent, "proofs"), body))
    output.result(found, f"{found['slug']} has a further proof.", _table(found), *lines(found, secret_file))
    if caution := found["proofs"][-1]["caution"]:
        output.note(caution)


@proofs.command("remove")
@click.argument("agent")
@click.argument("proof")
@yes_option
@change_command
def remove_proof(caller: Caller, output: Output, agent: str, proof: str, yes: bool) -> None:
    """Take a proof away, and revoke the tokens that rest on it. PROOF is its id (see `list`), or how that begins.

    What stops is said first.
    """
    where = path("clients", agent, "proofs", meant(caller.get(path("clients", agent)), proof))
    ask_for_good(caller, output, where, "Remove it for good?", yes=yes, send=deleting(caller))
    caller.delete(where)
    found = caller.get(path("clients", agent))
    lost = f"{found['slug']} has lost that proof, and the tokens that rested on it are revoked."
    output.result(found, lost, _table(found))


def meant(agent: Mapping[str, Any], typed: str) -> str:
    """The id of the one proof that begins so. Raises `CallFailed`."""
    ids: list[str] = [proof["id"] for proof in agent["proofs"]]
    found = [id_ for id_ in ids if len(typed) >= _LEAST and id_.startswith(typed)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} proofs of {agent['slug']} begin with" if found else f"{agent['slug']} has no proof"
    raise CallFailed(
        f"{what} {typed!r}.", f"Their ids: authsec agents proofs list {agent['slug']} ({_LEAST} characters at least)"
    )


def _table(agent: Mapping[str, Any]) -> Table | Text:
    heads = ("PROOF", "STATE", "SOURCE", "ADDED (UTC)", "LAST USED (UTC)", "ENDS (UTC)", "ID")
    rows = [
        (
            _brief(proof),
            _state(proof),
            proof["source"]["slug"] if proof["source"] else None,
            when(proof["created_at"]),
            when(proof["last_used_at"]),
            when(proof["expires_at"]),
            proof["id"],
        )
        for proof in agent["proofs"]
    ]
    return table(heads, rows, whole=("ID",))


def _brief(proof: Mapping[str, Any]) -> str:
    """Which proof it is, on one line."""
    if proof["selectors"]:
        return ", ".join(f"{each['key']}={each['value']}" for each in proof["selectors"])
    if proof["kind"] == "enrolled_key":
        return f"enrolled key of {proof['machine'] or 'a machine'}, by {proof['enrolled_by']}"
    kind: str = proof["kind"].replace("_", " ")
    return f"{kind} {proof['thumbprint']}" if proof["thumbprint"] else kind


def _state(proof: Mapping[str, Any]) -> Text:
    state = proof["state"]
    if state == "cannot_prove":
        return styled("its source cannot prove it" if proof["source"] else "waits for a trust source", "yellow")
    if state == "proves" and proof["caution"]:
        return styled("proves, and lets in others", "yellow")
    words, tone = _STATES[state]
    return styled(words, tone)
