"""`authsec issuers try`: test how the authority would verify an agent's token."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.files import read_named
from authsec_server.cli.output import Output, harmless, styled, table, when
from authsec_server.console.formatting import ago

MOST = 48 * 1024  # bytes: three times the longest token
_MARKS = {"holds": ("✓", "green"), "fails": ("✗", "red"), "unknown": ("?", "yellow"), "skipped": ("-", "dim")}
_WHYS = {
    "form": "not a token that can be accepted",
    "trusted_issuer": "the trusted issuer is disabled",
    "issuer": "of another issuer",
    "signature": "not signed by this trusted issuer",
    "audience": "not made for this authority",
    "times": "its times are not accepted",
    "binding": "bound to a key",
    "claims": "its claims about the workload cannot be read",
    "review": "the cluster says that it is no longer valid",
    "pod": "its pod no longer exists",
}
_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@click.command("try")
@click.argument("trusted_issuer")
@click.argument("file", type=_FILE, required=False, metavar="[FILE]")
@admin_command
def try_token(caller: Caller, output: Output, trusted_issuer: str, file: Path | None) -> None:
    """Test a token, and show the result of each verification step. TRUSTED_ISSUER is the trusted issuer's slug or id.

    The command reads the token from FILE or from stdin. Other users of this machine could read a token on the
    command line. The token is not stored. The exit status is 1 if the token would be refused.
    """
    trial = caller.post(path("issuers", trusted_issuer, "try"), {"token": _pasted(file, output)})
    output.result(trial, _verdict(trial), *_notes(trial), *map(_step, trial["steps"]), *_said(trial), *_proved(trial))
    if not trial["holds"]:
        raise SystemExit(1)


def _pasted(file: Path | None, output: Output) -> str:
    if file is not None and str(file) != "-":
        if str(file).startswith(("eyJ", "Bearer")):  # a message about a missing file would repeat the token
            raise click.UsageError(
                "This looks like the token itself. Other users of this machine can read command lines, and your "
                "shell stores them: pass the token in a file or on stdin."
            )
        return read_named(file, at_most=MOST).decode("utf-8", "replace")
    if sys.stdin.isatty():
        output.note("Paste the token, then press Enter and Ctrl-D.")
    return sys.stdin.read(MOST)


def _verdict(trial: Mapping[str, Any]) -> Text:
    """Return the overall result for the tested token, as the first line of the output."""
    if trial["holds"]:
        names = list(dict.fromkeys(each["name"] for each in trial["satisfies"]))
        if not names:
            return styled("The token is valid, but no agent is registered as this workload.", "bold yellow")
        return styled(f"The token would be accepted, as {', '.join(names)}.", "bold green")
    failed = [step["step"] for step in trial["steps"] if step["state"] == "fails"]
    if not failed:
        return styled("It is unknown right now whether the token would be accepted.", "bold yellow")
    over = _expired(trial["claims"]) if "times" in failed else ""
    whys = [over if name == "times" and over else _WHYS.get(name, name) for name in failed]
    return styled(f"The token would be refused: {'; '.join(whys)}.", "bold red")


def _expired(claims: Mapping[str, Any]) -> str:
    now = datetime.now(UTC)
    expires_at = claims["expires_at"] and datetime.fromisoformat(claims["expires_at"])
    return f"expired {ago(expires_at, now)}" if expires_at and expires_at < now else ""


def _notes(trial: Mapping[str, Any]) -> list[Text]:
    return [styled(note, "dim") for note in trial["notes"]]


def _step(step: Mapping[str, Any]) -> Text:
    mark, style = _MARKS[step["state"]]
    said = Text.assemble((f"{mark} ", style), (step["step"].ljust(11), "bold"), harmless(step["said"]))
    for line in (step["example"] or "").splitlines():
        said.append(f"\n    {harmless(line)}")
    return said


def _said(trial: Mapping[str, Any]) -> list[Text | str]:
    claims = trial["claims"]
    if not claims:
        return []
    whose = "The token says" if trial["signed"] else f"The token's claims, unverified ({_unsigned(trial)})"
    about = f"of {claims['iss'] or '-'}, for {', '.join(claims['aud']) or '-'}, about {claims['sub'] or '-'}"
    expires = f", expires {when(claims['expires_at'])} UTC" if claims["expires_at"] else ""
    return ["", f"{whose}: {about}{expires}"]


def _unsigned(trial: Mapping[str, Any]) -> str:
    """Return why no signature proves the claims: the signature is invalid, or was not verified.

    The signature is verified only if the token names this trusted issuer.
    """
    states = {step["step"]: step["state"] for step in trial["steps"]}
    return "the signature does not match" if states.get("signature") == "fails" else "the signature was not checked"


def _proved(trial: Mapping[str, Any]) -> list[Any]:
    if not trial["selectors"]:
        return []
    rows = [(each["key"], each["value"], each["how"]) for each in trial["selectors"]]
    shown: list[Any] = ["", table(("SELECTOR", "VALUE", "HOW"), rows), ""]
    it = "The token matches" if trial["holds"] else "An accepted token with these claims would match"
    for each in trial["satisfies"]:
        off = " (disabled: it gets no token until somebody enables it)" if not each["enabled"] else ""
        shown.append(f"{it} a proof of {each['name']} ({each['client_id']}){off}")
    if not trial["satisfies"]:
        shown.append(f"{it} none of the {trial['compared']} proofs that depend on this trusted issuer.")
        shown += [f"  closest: {each['name']}: {each['differs']}" for each in trial["nearest"]]
    if trial["more"]:
        shown.append(styled(f"Only the first {trial['compared']} proofs were compared.", "dim"))
    return shown
