"""The doctor's report: findings printed one by one for a person, or as one JSON document for support."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from authsec.errors import AuthSecError
from authsec.terminal import Grade, described, heading, http_status, runnable, step

_NOTHING = "Nothing: this agent can get tokens."

_WIDTH = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one step. `reason` is a stable code for the problem.

    `remedy` is one line; lines to copy may follow it. `error` is the SDK's exception for this step, with its own
    text and remedy. `explains` means that this problem probably caused the failures of earlier steps.
    """

    step: str
    grade: Grade = Grade.GOOD
    facts: tuple[str, ...] = ()
    reason: str = ""
    remedy: str = ""
    error: AuthSecError | None = None
    explains: bool = False

    @classmethod
    def failed(cls, step: str, error: AuthSecError, remedy: str, facts: Sequence[str] = ()) -> Finding:
        """Make the finding of a step that ended with an error."""
        return cls(step=step, grade=Grade.BAD, facts=tuple(facts), reason=error.reason, remedy=remedy, error=error)

    @classmethod
    def skipped(cls, step: str, why: str) -> Finding:
        """Return the finding of a step that cannot run because of an earlier finding."""
        return cls(step=step, grade=Grade.SKIPPED, facts=(why,))

    def as_json(self) -> dict[str, Any]:
        """Return the finding as a JSON object, for programs and for support."""
        told: dict[str, Any] = {"step": self.step, "grade": self.grade.value, "facts": list(map(_bare, self.facts))}
        error = self.error
        if self.reason:
            told["reason"] = self.reason
        if error is not None:
            told |= {"problem": str(error), "status": http_status(error), "request_id": error.request_id}
            told |= {"retryable": error.retryable, "retry_after": error.retry_after}
        if self.remedy:
            told["remedy"] = self.remedy
        return told


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether no step failed. Warnings do not make an agent unhealthy."""
    return all(finding.grade is not Grade.BAD for finding in findings)


def most_urgent(findings: Sequence[Finding]) -> Finding | None:
    """Return the finding to fix first, or None if nothing needs a fix.

    A finding with `explains` has priority. The next choice is the first failed step, because later steps may fail
    for the same reason. The last choice is the first warning.
    """
    to_do = [finding for finding in findings if finding.remedy]
    for finding in to_do:
        if finding.explains:
            return finding
    for grade in (Grade.BAD, Grade.AMBER):
        for finding in to_do:
            if finding.grade is grade:
                return finding
    return None


def next_line(findings: Sequence[Finding]) -> str:
    """Return the text for the next action: the remedy of the most urgent finding."""
    found = most_urgent(findings)
    return found.remedy if found else _NOTHING


def _bare(fact: str) -> str:
    return " ".join(click.unstyle(fact).split())


def print_report(subject: Mapping[str, str], findings: Iterable[Finding]) -> list[Finding]:
    """Print each finding as soon as its check ends, then the remedies. Return all findings."""
    click.echo()
    for name, value in subject.items():
        click.echo(heading(name, value))
    click.echo()
    seen: list[Finding] = []
    for finding in findings:
        seen.append(finding)
        click.echo(_block(finding))
    if not (seen and seen[-1].error):  # A block with an error already ends with an empty line.
        click.echo()
    first = next_line(seen)
    click.echo(_to_do("Next", first))
    for remedy in dict.fromkeys(finding.remedy for finding in seen if finding.remedy not in {"", first}):
        click.echo(_to_do("Also", remedy))
    click.echo()
    return seen


def print_json(subject: Mapping[str, str], findings: Iterable[Finding]) -> list[Finding]:
    """Print all findings as one JSON document. Return all findings."""
    seen = list(findings)
    document = {
        "healthy": is_healthy(seen),
        "next": next_line(seen),
        **subject,
        "steps": [finding.as_json() for finding in seen],
    }
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    return seen


def _block(finding: Finding) -> str:
    """Format the finding as one line, followed by the SDK's error text if there is an error."""
    facts = [finding.reason, *finding.facts] if finding.reason else [*finding.facts]
    line = step(finding.grade, finding.step, facts)
    if finding.error is None:
        return line
    return f"{line}\n\n{textwrap.indent(described(finding.error), '    ')}\n"


def _to_do(title: str, remedy: str) -> str:
    """Format a remedy. Its first line is wrapped; the lines to copy stay whole."""
    first, _, to_copy = runnable(remedy).partition("\n")
    wrapped = textwrap.wrap(
        f"{title}: {first}", _WIDTH, initial_indent="  ", subsequent_indent="        ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    styled = [wrapped[0].replace(f"{title}:", click.style(f"{title}:", bold=True), 1), *wrapped[1:]]
    return "\n".join([*styled, *([textwrap.indent(to_copy, "    ")] if to_copy else [])])
