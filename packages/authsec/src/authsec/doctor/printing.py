"""How an examination looks: for a person as it goes on, or as one JSON document for support."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable

import click

from authsec.doctor.findings import Finding, healthy, next_line
from authsec.doctor.settings import Settings
from authsec.terminal import described, heading, runnable, step

_WIDTH = 96


def printed(found: Settings, findings: Iterable[Finding]) -> list[Finding]:
    """Print each as it comes; all of them."""
    click.echo()
    for name, value in _about(found).items():
        click.echo(heading(name, value))
    click.echo()
    seen: list[Finding] = []
    for finding in findings:
        seen.append(finding)
        click.echo(_block(finding))
    if not (seen and seen[-1].error):  # whose block ends with an empty line
        click.echo()
    first = next_line(seen)
    click.echo(_to_do("Next", first))
    for remedy in dict.fromkeys(finding.remedy for finding in seen if finding.remedy not in {"", first}):
        click.echo(_to_do("Also", remedy))
    click.echo()
    return seen


def printed_as_json(found: Settings, findings: Iterable[Finding]) -> list[Finding]:
    """Print one document; all of them."""
    seen = list(findings)
    document = {
        "healthy": healthy(seen),
        "next": next_line(seen),
        **_about(found),
        "steps": [finding.as_json() for finding in seen],
    }
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    return seen


def _about(found: Settings) -> dict[str, str]:
    config = found.config
    told = {"authority": config.base_url if config else "not known"}
    return told | {"agent": config.client_id if config and found.names_agent else "not known"}


def _block(finding: Finding) -> str:
    """Its line, and under it what the SDK says."""
    facts = [finding.reason, *finding.facts] if finding.reason else [*finding.facts]
    line = step(finding.grade, finding.step, facts)
    if finding.error is None:
        return line
    return f"{line}\n\n{textwrap.indent(described(finding.error), '    ')}\n"


def _to_do(title: str, remedy: str) -> str:
    """The line, wrapped; the lines to copy below it stay whole."""
    first, _, to_copy = runnable(remedy).partition("\n")
    wrapped = textwrap.wrap(
        f"{title}: {first}", _WIDTH, initial_indent="  ", subsequent_indent="        ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    styled = [wrapped[0].replace(f"{title}:", click.style(f"{title}:", bold=True), 1), *wrapped[1:]]
    return "\n".join([*styled, *([textwrap.indent(to_copy, "    ")] if to_copy else [])])
