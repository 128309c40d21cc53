"""`authsec agents proofs`: manage the proofs that an agent can authenticate with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click
from authsec.config import export_line
from authsec.lazy_commands import Commands
from rich.table import Table
from rich.text import Text

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.confirm import change_command, confirm_permanent, confirm_with_impact, deleting, yes_option
from authsec_server.cli.files import in_two_steps, kept, read_beginning
from authsec_server.cli.output import Column, Output, cell, item_table, styled, time_of, when
from authsec_server.cli.params import DURATION
from authsec_server.cli.transport import CallFailed
from authsec_server.clients.model import OVERLAP, Platform
from authsec_server.clients.selectors import KEYS, known_key
from authsec_server.issuers.model import Provenance, shown_provenance
from authsec_server.suggest import nearest

MAX_KEY_FILE = 16 * 1024
SECRET_FILE = "AUTHSEC_AGENT_SECRET_FILE"  # noqa: S105 - a variable's name
secret_file_option = click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the secret to this new file, which only you can read, instead of printing the secret.",
)


def evidence_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that describe how an agent authenticates. The command receives them as `evidence`."""

    @click.option(
        "--platform",
        required=True,
        type=click.Choice([each.value for each in Platform]),
        help=(
            "Where the agent runs, or who signs its tokens (spiffe, oidc). With key, the agent has a key pair. "
            "With secret, the last resort, the agent sends a generated secret. With unattested, the agent does "
            "not authenticate."
        ),
    )
    @click.option(
        "--selector",
        "selectors",
        multiple=True,
        help="A selector as KEY=VALUE, e.g. k8s:ns=production. Can be repeated.",
    )
    @click.option(
        "--public-key",
        type=click.Path(path_type=Path, dir_okay=False),
        help="PEM file with the agent's public key, for --platform key.",
    )
    @click.option(
        "--trusted-issuer",
        help=(
            "The trusted issuer that proves the selectors, by slug or id. Required if several trusted issuers "
            "can prove them."
        ),
    )
    @wraps(command)
    def run(
        *arguments: Any,
        platform: str,
        selectors: tuple[str, ...],
        public_key: Path | None,
        trusted_issuer: str | None,
        **options: Any,
    ) -> None:
        if platform == Platform.KEY and public_key is None:
            raise click.UsageError(
                "--platform key needs --public-key FILE. `authsec keygen FILE` creates the pair FILE and FILE.pub."
            )
        evidence = {
            "platform": platform,
            "selectors": [_selector(text) for text in selectors],
            "public_key": None if public_key is None else _read_public_key(public_key),
            "trusted_issuer": trusted_issuer,
        }
        command(*arguments, evidence=evidence, **options)

    return run


def shown(proof: Mapping[str, Any]) -> Text:
    """Render a proof and its strength, on as many lines as needed."""
    if proof["kind"] == "unattested":
        return styled("UNATTESTED", "bold red").append(": anybody who knows its client_id can get its tokens", "red")
    if proof["kind"] == "secret":
        return styled("client secret, weak: anybody who reads the secret can use it until the next rotation", "yellow")
    if proof["kind"] == "enrolled_key":
        told = f"enrolled key of {proof['machine'] or 'a machine'}, by {proof['enrolled_by']}, "
        return styled(f"{told}until {when(proof['expires_at'])} UTC", "yellow")
    if proof["kind"] == "key_pair":
        return cell(f"key pair with thumbprint {proof['thumbprint']}")
    rows = [cell(f"{each['key']} = {each['value']}").append(_proved(proof, each["key"])) for each in proof["selectors"]]
    if proof["trusted_issuer"]:
        rows.append(cell(f"proved by {proof['trusted_issuer']['name']} ({proof['trusted_issuer']['slug']})"))
    if proof["caution"]:
        rows.append(styled(proof["caution"], "yellow"))
    if proof["missing"]:
        rows.append(styled(proof["missing"], "yellow"))
    return Text("\n").join(rows)


def _proved(proof: Mapping[str, Any], key: str) -> str:
    """Return a suffix for the selector's line: how the trusted issuer proves the selector."""
    how = (proof["provenance"] or {}).get(key)
    return f"  ({shown_provenance(key, Provenance(how)) if how in set(Provenance) else how})" if how else ""


def _selector(text: str) -> dict[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no value: write {_as_spire(text)}.", param_hint="--selector")
    return {"key": key, "value": value}


def _as_spire(text: str) -> str:
    """Convert a selector from SPIRE's notation, such as `k8s:ns:production`, to the form KEY=VALUE.

    If no known key fits, return the text `KEY=VALUE` itself.
    """
    parts = text.split(":")
    for upto in range(2, len(parts)):
        key, value = ":".join(parts[:upto]), ":".join(parts[upto:])
        if value and any(known_key(platform, key) for platform in KEYS):
            return f"{key}={value}"
    return "KEY=VALUE"


def _read_public_key(path: Path) -> str:
    """Read a PEM public key from the file. Raises `CallFailed`.

    A private key is refused before the request, so the key does not leave this machine.
    """
    content = read_beginning(path, MAX_KEY_FILE + 1, remedy=_nearest_beside(path))
    if b"PRIVATE KEY" in content:
        public = path.with_name(f"{path.name}.pub")
        raise CallFailed(
            f"{path} has a PRIVATE key, which only the agent may have. It was not sent.",
            f"Give the public key: {public if public.exists() else 'the block that begins with BEGIN PUBLIC KEY'}",
        )
    if len(content) > MAX_KEY_FILE or b"BEGIN PUBLIC KEY" not in content:
        raise CallFailed(
            f"{path} is not a public key in PEM form.",
            "Give a file that begins with BEGIN PUBLIC KEY; `authsec keygen FILE` creates one, FILE.pub.",
        )
    return content.decode("utf-8", "replace")


def _nearest_beside(path: Path) -> str:
    """Return a hint for a missing file: the file in the same folder with the most similar name.

    Public keys come first. The hint is empty if the file exists or no name is similar.
    """
    if path.exists() or not path.parent.is_dir():
        return ""
    names = [each.name for each in path.parent.iterdir() if each.is_file()]
    keys = [name for name in names if name.endswith(".pub")]
    found = nearest(path.name, keys) or nearest(path.name, names)
    return f"The nearest file is {path.with_name(found)}." if found else ""


_LEAST = 8  # characters of an id, so that a row number such as 1 matches no proof
_STATES = {
    "proves": ("proves", "green"),
    "weak": ("weak", "yellow"),
    "trusted_issuer_disabled": ("its trusted issuer is disabled", "yellow"),
    "unattested": ("proves nothing", "bold red"),
    "expired": ("expired", "dim"),
}


@click.group(cls=Commands)
def proofs() -> None:
    """Manage the proofs of an agent. One valid proof is enough to authenticate."""


@proofs.command("list")
@click.argument("agent")
@admin_command
def list_proofs(caller: Caller, output: Output, agent: str) -> None:
    """List the proofs of an agent. AGENT is the agent's slug or client_id."""
    found = caller.get(path("clients", agent))
    output.result({"proofs": found["proofs"]}, _table(found))


@proofs.command("add")
@click.argument("agent")
@evidence_options
@click.option("--expires", help="When the proof expires, e.g. 2026-12-31T18:00:00Z. [default: never]")
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
    """Add another proof to an agent. AGENT is the agent's slug or client_id."""
    require_use_for(secret_file, evidence)
    body = {**evidence, "expires_at": expires}
    found = with_secret(secret_file, lambda: caller.post(path("clients", agent, "proofs"), body))
    output.result(found, f"{found['slug']} has one more proof.", _table(found), *lines(found, secret_file))
    if caution := found["proofs"][-1]["caution"]:
        output.note(caution)


@proofs.command("remove")
@click.argument("agent")
@click.argument("proof")
@yes_option
@change_command
def remove_proof(caller: Caller, output: Output, agent: str, proof: str, yes: bool) -> None:
    """Remove a proof, and revoke the tokens that were issued for it. AGENT is the agent's slug or client_id.

    PROOF is the id of the proof (see `list`) or the start of the id. The command shows the impact first.
    """
    where = path("clients", agent, "proofs", meant(caller.get(path("clients", agent)), proof))
    confirm_permanent(caller, output, where, "Remove this proof permanently?", yes=yes, send=deleting(caller))
    caller.delete(where)
    found = caller.get(path("clients", agent))
    lost = f"The proof of {found['slug']} is removed, and the tokens that depend on it are revoked."
    output.result(found, lost, _table(found))


def meant(agent: Mapping[str, Any], typed: str) -> str:
    """Find the one proof whose id starts with `typed`, and return the id. Raises `CallFailed`."""
    ids: list[str] = [proof["id"] for proof in agent["proofs"]]
    found = [id_ for id_ in ids if len(typed) >= _LEAST and id_.startswith(typed)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} proofs of {agent['slug']} begin with" if found else f"{agent['slug']} has no proof"
    raise CallFailed(
        f"{what} {typed!r}.",
        f"To see the ids: authsec agents proofs list {agent['slug']} (give at least {_LEAST} characters)",
    )


def _table(agent: Mapping[str, Any]) -> Table | Text:
    return item_table(agent["proofs"], _COLUMNS, whole="ID")


def _brief(proof: Mapping[str, Any]) -> str:
    """Describe the proof on one line."""
    if proof["selectors"]:
        return ", ".join(f"{each['key']}={each['value']}" for each in proof["selectors"])
    if proof["kind"] == "enrolled_key":
        return f"enrolled key of {proof['machine'] or 'a machine'}, by {proof['enrolled_by']}"
    kind: str = proof["kind"].replace("_", " ")
    return f"{kind} {proof['thumbprint']}" if proof["thumbprint"] else kind


def _state(proof: Mapping[str, Any]) -> Text:
    state = proof["state"]
    if state == "cannot_prove":
        return styled(
            "its trusted issuer cannot prove the selectors" if proof["trusted_issuer"] else "no trusted issuer yet",
            "yellow",
        )
    if state == "proves" and proof["caution"]:
        return styled("valid, but matches other workloads too", "yellow")
    words, tone = _STATES[state]
    return styled(words, tone)


_COLUMNS: dict[str, Column] = {
    "PROOF": _brief,
    "STATE": _state,
    "TRUSTED ISSUER": lambda proof: proof["trusted_issuer"] and proof["trusted_issuer"]["slug"],
    "ADDED (UTC)": time_of("created_at"),
    "LAST USED (UTC)": time_of("last_used_at"),
    "ENDS (UTC)": time_of("expires_at"),
    "ID": "id",
}


def require_use_for(file: Path | None, evidence: Mapping[str, Any]) -> None:
    """Raise `UsageError` if a secret file is named but the platform has no secret."""
    if file is not None and evidence["platform"] != Platform.SECRET:
        raise click.UsageError("--secret-file needs --platform secret: other platforms have no secret.")


def with_secret(
    file: Path | None, call: Callable[[], dict[str, Any]], *, taken: str = "Choose another name."
) -> dict[str, Any]:
    """Make the call and return its answer, without the secret if the secret was saved to `file`.

    `taken` is the remedy if the file exists already: see `files.kept`.
    """
    return kept(
        file,
        call,
        member="client_secret",
        taken=taken,
        another=lambda answer: f"authsec agents rotate-secret {answer['slug']} --overlap 0s",
    )


def lines(agent: Mapping[str, Any], file: Path | None) -> list[Text | str]:
    """Return lines to copy that show how to use the new secret; none if no secret was made."""
    if file is not None:
        return [f"  {export_line(SECRET_FILE, str(file))}"]
    if "client_secret" not in agent:
        return []
    return [
        "",
        styled("The secret, which is shown only once (the authority stores only a hash of it):", "yellow"),
        f"  {agent['client_secret']}",
        styled(
            "On the agent's machine, keep the secret in a file that only the agent's user can read (chmod 600), "
            "and set:",
            "dim",
        ),
        f"  {export_line(SECRET_FILE, 'the file')}",
    ]


@click.command("rotate-secret")
@click.argument("agent")
@click.option(
    "--overlap",
    type=DURATION,
    default=f"{OVERLAP.days * 24}h",
    show_default=True,
    help="How long the previous secrets stay valid; 0s revokes them and their tokens at once.",
)
@secret_file_option
@yes_option
@change_command
def rotate_secret(
    caller: Caller, output: Output, agent: str, overlap: int, secret_file: Path | None, yes: bool
) -> None:
    """Rotate the client secret of an agent. AGENT is the agent's slug or client_id.

    With `--overlap 0s`, the command shows the impact first.
    """
    where, body = path("clients", agent, "secret"), {"overlap": overlap}
    if not overlap:
        confirm_with_impact(caller, output, where, "Revoke the previous secrets at once?", yes=yes, body=body)
    found = with_secret(
        secret_file,
        lambda: caller.post(where, body),
        taken=in_two_steps(secret_file, "--secret-file"),
    )
    output.result(found, f"{found['slug']} has a new secret. {_before(found)}", *lines(found, secret_file))


def _before(agent: Mapping[str, Any]) -> str:
    """Describe what happens to the older secrets and their tokens."""
    *before, _ = [proof for proof in agent["proofs"] if proof["kind"] == "secret"]
    if not before:
        return "The previous secrets are revoked, and so are the tokens that depend on them."
    last = max(proof["expires_at"] for proof in before)
    return (
        f"The previous secrets are valid until {when(last)} UTC. Tokens that were issued with these secrets keep "
        "their lifetime."
    )
