"""The table of docs/frameworks.md."""

from __future__ import annotations

from ..environments import pinned_versions
from ..generated_tables import generated_part, write_generated_part
from .catalogue import FRAMEWORKS, HERE, ROOT, Framework
from .runs import Findings

PAGE = ROOT / "docs" / "frameworks.md"
_HEAD = [
    '| framework | versions | tests | differs | `on_denied="raise"`: the model reads | the run |',
    "|---|---|---|---|---|---|",
]
_TESTS = {"test_tools.py": "all", "test_claude.py": "its own", "test_tools_briefly.py": "short"}
_LONGEST = 60  # letters of a framework's own words that fit into the table


def row(framework: Framework, findings: Findings) -> str:
    """The line of one framework."""
    reads = " or ".join(dict.fromkeys(_described(found) for found in findings))
    ends = "ends, with the exception" if None in findings else "goes on"
    return f"{_facts(framework)} {reads} | {ends} |"


def rows_of_page() -> list[str]:
    """The lines of the table that the page has."""
    return [line for line in generated_part(PAGE).splitlines() if line.startswith("| ")][1:]


def outdated(rows: list[str]) -> list[str]:
    """The lines that a page with these rows lacks: those whose versions are not the pins', among others."""
    return [wanted for framework in FRAMEWORKS if not any(row.startswith(wanted := _facts(framework)) for row in rows)]


def write(found: dict[str, Findings]) -> None:
    """Write what was found into the page. Frameworks that were not run keep their line."""
    kept = {row.split("|")[1].strip("` []").partition("]")[0]: row for row in rows_of_page()}
    lines = [row(each, found[each.name]) if each.name in found else kept[each.title] for each in FRAMEWORKS]
    write_generated_part(PAGE, [*_HEAD, *lines])


def _facts(framework: Framework) -> str:
    """What is known without a run: the first cells."""
    known = pinned_versions(HERE / f"{framework.environments[0]}.txt")
    versions = ", ".join(f"`{package}` {known[package]}" for package in framework.packages)
    section = framework.title.lower().replace(",", "").replace(" ", "-")
    title = f"[{framework.title}](framework-examples.md#{section})" if framework.has_program else framework.title
    return f"| {title} | {versions} | {_TESTS[framework.tests]} | {framework.differs} |"


def _described(found: str | None) -> str:
    if found is None:
        return "nothing"
    if "Traceback (most recent call last)" in found:
        return "the whole traceback, with paths and lines of your code, and the sentence"
    *_, last = found.splitlines()
    before, has_sentence, _ = last.partition("<sentence>")
    if not has_sentence:
        return f"`{last}`"
    if len(before) > _LONGEST:
        return "a line on the failed call, and the sentence"
    return f"`{before.strip()}` and the sentence" if before else "the sentence"
