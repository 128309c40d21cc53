"""How an agent proves itself, on the command line: as it is given, and as it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from authsec_server.cli.named_files import read_beginning
from authsec_server.cli.output import cell, styled, when
from authsec_server.cli.reach import CallFailed
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
