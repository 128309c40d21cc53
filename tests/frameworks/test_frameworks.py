"""A tool of one's own in seven frameworks, each with its real run, in the environments that they need.

The tests themselves are in `inside`: one process a framework, since each has settings for the whole process. AutoGen's
classic API and those of today cannot share an environment, and what two sets have in common works with openai 2 and 3.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..environments import python_with, variables

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OURS = ROOT / "packages" / "authsec" / "src"
PAGE = ROOT / "docs" / "frameworks.md"
EXAMPLES = sorted((ROOT / "examples" / "frameworks").glob("*.py"))
IN_BOTH = ("agentchat", "agent_framework", "langchain")
SETS = {"set_a": ("autogen", *IN_BOTH), "set_b": ("ag2", "openai_agents", "pydantic_ai", *IN_BOTH)}


def write_tests_of_the_page(folder: Path, *names: str) -> None:
    """Those of the section on testing."""
    for name in names:
        (block,) = re.findall(rf"^```python\n(# {name}\n.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        (folder / name).write_text(block, "utf-8")


@pytest.mark.parametrize(("packages", "framework"), [(name, one) for name, every in SETS.items() for one in every])
def test_a_tool_of_ones_own(packages: str, framework: str, tmp_path: Path) -> None:
    """And the page's own tests of the whole run, for the program that is shown there."""
    inside = HERE / "inside"
    shutil.copy(ROOT / "examples" / "frameworks" / f"{framework}_tool.py", tmp_path / "my_agent.py")
    write_tests_of_the_page(tmp_path, "test_run.py")
    alone = ["-c", os.devnull, "--rootdir", inside, "--confcutdir", inside, "-p", "no:cacheprovider"]
    brief = ["-q", "--tb=short", "--show-capture=no", "--maxfail=3"]
    what = [inside, tmp_path, "--framework", framework]
    done = subprocess.run(
        [python_with(HERE / f"{packages}.txt"), "-m", "pytest", *alone, *brief, *what],
        cwd=tmp_path,
        env=variables(OURS) | {"DOWNSTREAM_URL": "http://127.0.0.1:9"},  # as the page's conftest.py has it
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed(, \d+ warnings)? in ", done.stdout, re.MULTILINE), done.stdout  # and none skipped


def code_of(example: Path) -> str:
    """The program without what its docstring says of it."""
    text = example.read_text("utf-8")
    docstring = ast.parse(text).body[0]
    return "".join(text.splitlines(keepends=True)[docstring.end_lineno :]).strip()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_page_shows_the_example_as_it_is(example: Path) -> None:
    page = PAGE.read_text("utf-8")
    assert f"```python\n{code_of(example)}\n```" in page
    assert f"(../{example.relative_to(ROOT).as_posix()})" in page


def pytest_in(folder: Path, python: Path, *ours: Path) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
    return subprocess.run(
        command, cwd=folder, env=variables(*ours), capture_output=True, text=True, timeout=60, check=False
    )


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """For the tool of an example as a module."""
    tool, _, _ = code_of(ROOT / "examples" / "frameworks" / "pydantic_ai_tool.py").partition("\nagent = ")
    (tmp_path / "crm_agent.py").write_text(tool.replace("from pydantic_ai import Agent\n", ""), "utf-8")
    write_tests_of_the_page(tmp_path, "conftest.py", "test_agent.py")
    done = pytest_in(tmp_path, Path(sys.executable))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_tool_that_the_framework_saw_before_ours_is_found_by_the_pages_test(tmp_path: Path) -> None:
    """The decorators in the wrong order, where nobody else can tell."""
    right = (ROOT / "examples" / "frameworks" / "pydantic_ai_tool.py").read_text("utf-8")
    agent = next(line for line in right.splitlines() if line.startswith("agent = "))
    wrong = right.replace(f"{agent}\n", "").replace(
        "@authsec.delegated(", f"{agent.replace(', tools=[fetch_customer]', '')}\n\n\n@authsec.delegated(", 1
    )
    wrong = wrong.replace("\ndef fetch_customer", "\n@agent.tool_plain\ndef fetch_customer")
    (tmp_path / "my_agent.py").write_text(wrong, "utf-8")
    write_tests_of_the_page(tmp_path, "conftest.py", "test_run.py")
    done = pytest_in(tmp_path, python_with(HERE / "set_b.txt"), OURS)
    assert "FAILED test_run.py::test_no_model_sees_the_token - AssertionError" in done.stdout, done.stdout


def test_the_page_names_the_versions_that_are_tried() -> None:
    _, _, tried = PAGE.read_text("utf-8").partition("\n## Tried with\n")
    pins = "".join((HERE / f"{name}.txt").read_text("utf-8") for name in SETS)
    named = re.findall(r"([a-z][a-z0-9-]+) (\d+\.\d+\.\d+)", tried)
    assert len(named) == 8
    assert [f"{name}=={version}" for name, version in named if f"{name}=={version}\n" not in pins] == []


def test_each_framework_has_an_example_and_no_other() -> None:
    every = {name for names in SETS.values() for name in names}
    assert [example.stem for example in EXAMPLES] == sorted(f"{name}_tool" for name in every)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_no_example_hides_what_it_imports(example: Path) -> None:
    """A file that is run finds its neighbours first: examples/frameworks/langchain.py would import itself."""
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(example.read_text("utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported & {neighbour.stem for neighbour in EXAMPLES} == set()
    assert imported & set(sys.stdlib_module_names) <= {"asyncio", "os"}
