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
from ..foreign.catalogue import MCP_AUTH, MCP_SESSIONS, Client, each
from ..foreign.recording import RecordVerdict

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "mcp-clients.md"
OURS = HERE.parents[1] / "packages" / "authsec" / "src"


@pytest.mark.parametrize("client", each(MCP_SESSIONS))
def test_a_session_outlasts_a_denial(client: Client, tmp_path: Path, record_verdict: RecordVerdict) -> None:
    inside = HERE / "inside_mcp"
    alone = ["-c", os.devnull, "--rootdir", inside, "--confcutdir", inside, "-p", "no:cacheprovider"]
    brief = ["-q", "--tb=short", "--show-capture=no", "--maxfail=3"]
    done = subprocess.run(
        [python_with(client.pins), "-m", "pytest", *alone, *brief, inside, "--framework", client.driver],
        cwd=tmp_path,
        env=variables(OURS),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^2 passed(, \d+ warnings?)? in ", done.stdout, re.MULTILINE), done.stdout  # and none skipped
    record_verdict(client, MCP_AUTH, "the session outlasts a denial")


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
