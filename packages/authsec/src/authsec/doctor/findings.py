"""What an examination found, as values: how it looks is for `printing` to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from authsec.errors import AuthSecError
from authsec.terminal import Grade, http_status

_NOTHING = "Nothing: this agent gets its tokens."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One step. `reason` is a stable code for what is wrong; `remedy` is one line, with lines to copy after it.

    `error` is what the SDK raises in its place, with its own words for what failed and what would help. With
    `explains`, what failed before it most likely failed because of this.
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
        """A step that ended with an error."""
        return cls(step=step, grade=Grade.BAD, facts=tuple(facts), reason=error.reason, remedy=remedy, error=error)

    @classmethod
    def skipped(cls, step: str, why: str) -> Finding:
        """A step that something found before makes pointless."""
        return cls(step=step, grade=Grade.SKIPPED, facts=(why,))

    def as_json(self) -> dict[str, Any]:
        """For programs and for support."""
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


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether no step failed; what only deserves a look does not make an agent ill."""
    return all(finding.grade is not Grade.BAD for finding in findings)


def most_urgent(findings: Sequence[Finding]) -> Finding | None:
    """What explains the others; or the first step that failed, since later ones may fail because of it; else the first
    that deserves a look.
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
    """The one thing to do next."""
    found = most_urgent(findings)
    return found.remedy if found else _NOTHING


def _bare(fact: str) -> str:
    return " ".join(click.unstyle(fact).split())
