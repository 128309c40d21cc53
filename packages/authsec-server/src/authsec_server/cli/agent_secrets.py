"""Client secrets on the command line: print a new secret once or save it to a file, and rotate secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from authsec.config import export_line
from rich.text import Text

from authsec_server.cli.caller import Caller, path
from authsec_server.cli.confirm import change_command, confirm_with_impact, yes_option
from authsec_server.cli.files import in_two_steps, kept
from authsec_server.cli.output import Output, styled, when
from authsec_server.cli.params import DURATION
from authsec_server.clients.model import OVERLAP, Platform

SECRET_FILE = "AUTHSEC_AGENT_SECRET_FILE"  # noqa: S105 - a variable's name

secret_file_option = click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the secret to this new file, which only you can read, instead of printing the secret.",
)


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
