"""Tables of the docs that the tests fill in, between two marks of a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

_GENERATED = re.compile(r"(?<=<!-- generated: begin -->\n).*?(?=<!-- generated: end -->)", re.DOTALL)

Verdicts = dict[tuple[str, str], str]
"""What a program, by name, did with what was tried, by title."""


def generated_part(page: Path) -> str:
    """The text between the marks."""
    (text,) = _GENERATED.findall(page.read_text("utf-8"))
    return str(text)


def write_generated_part(page: Path, lines: Iterable[str]) -> None:
    """Replace the text between the marks."""
    text = "\n" + "".join(f"{line}\n" for line in lines) + "\n"
    page.write_text(_GENERATED.sub(lambda _: text, page.read_text("utf-8")), "utf-8")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


class VerdictRecorder:
    """A plugin of pytest: what the tests recorded as their property "verdict", and whether all ran.

    The property is the program, what is tried and the verdict.
    """

    def __init__(self) -> None:
        self.verdicts: Verdicts = {}
        self.all_ran = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.all_ran &= report.passed
        if report.when == "call":
            for _, (program, tried, verdict) in report.user_properties:
                self.verdicts[program, tried] = verdict
