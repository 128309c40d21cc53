"""MCP clients of five frameworks with `mcp_auth`, each in its real run, in the environments that they need.

The tests themselves are in `inside_mcp`. One framework is tried in every run of the suite; the others with
`pytest -m frameworks`, since they need environments of their own.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from ..environments import python_with, variables

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "mcp-clients.md"
OURS = HERE.parents[1] / "packages" / "authsec" / "src"
ALWAYS = [("pydantic_ai", "pydantic_ai")]
ON_DEMAND = [
    ("set_b", "openai_agents"),
    ("set_b", "agent_framework"),
    ("mcp_2", "adk"),
    ("mcp_1", "langchain"),
    ("mcp_1", "openai_agents"),
]


@pytest.mark.parametrize(
    ("packages", "framework"), [*ALWAYS, *(pytest.param(*one, marks=pytest.mark.frameworks) for one in ON_DEMAND)]
)
def test_a_session_outlasts_a_denial(packages: str, framework: str, tmp_path: Path) -> None:
    inside = HERE / "inside_mcp"
    alone = ["-c", os.devnull, "--rootdir", inside, "--confcutdir", inside, "-p", "no:cacheprovider"]
    brief = ["-q", "--tb=short", "--show-capture=no", "--maxfail=3"]
    done = subprocess.run(
        [python_with(HERE / f"{packages}.txt"), "-m", "pytest", *alone, *brief, inside, "--framework", framework],
        cwd=tmp_path,
        env=variables(OURS),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^2 passed(, \d+ warnings?)? in ", done.stdout, re.MULTILINE), done.stdout  # and none skipped


@pytest.mark.parametrize(
    ("row", "framework"),
    [
        ("OpenAI Agents", "openai_agents"),
        ("LangChain", "langchain"),
        ("Google ADK", "adk"),
        ("pydantic-ai", "pydantic_ai"),
        ("Agent Framework", "agent_framework"),
    ],
)
def test_the_page_shows_the_line_that_is_run(row: str, framework: str) -> None:
    (shown,) = re.findall(rf"^\| {row} \| `([^`]+)`", PAGE.read_text("utf-8"), re.MULTILINE)
    assert shown in (HERE / "inside_mcp" / f"driving_{framework}.py").read_text("utf-8")


def test_the_page_names_the_versions_that_are_run() -> None:
    _, _, tried = PAGE.read_text("utf-8").partition("\nTried with ")
    pins = {packages: (HERE / f"{packages}.txt").read_text("utf-8") for packages, _ in ALWAYS + ON_DEMAND}
    named = re.findall(r"([a-z][a-z0-9-]+) (\d+\.\d+\.\d+)", tried)
    assert len(named) == 8
    assert [one for one in named if not any(f"{one[0]}=={one[1]}\n" in text for text in pins.values())] == []
