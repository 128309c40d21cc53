"""A tool of one's own in other people's frameworks, each with its real run, in the environments that they need.

CI tries one (`.ci/run` sets `CI`); `uv run pytest -m frameworks` tries all. The tests themselves are in `inside`.
"""

from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from authsec_server.console.clients.snippets import FRAMEWORKS as FRAMEWORKS_OF_THE_CONSOLE
from authsec_server.console.clients.snippets import Framework as ConsoleFramework

from ..environments import python_with, variables
from .catalogue import DEFAULT, FRAMEWORKS, HERE, ROOT, Framework
from .runs import OURS, program, run, write_tests_of_the_page
from .table import outdated, row, rows_of_page

PAGE = ROOT / "docs" / "framework-examples.md"
EXAMPLES = sorted((ROOT / "examples" / "frameworks").glob("*.py"))
IMPORTS_OF_THE_TOOL = ("import os", "import requests", "from authsec import AuthSecClient")


def every_run() -> list[Any]:
    return [
        pytest.param(
            framework,
            environment,
            id=f"{framework.name}-{environment}",
            marks=pytest.mark.frameworks(always=framework.name == DEFAULT and "CI" in os.environ),
        )
        for framework in FRAMEWORKS
        for environment in framework.environments
    ]


@pytest.mark.parametrize(("framework", "environment"), every_run())
def test_a_tool_of_ones_own(framework: Framework, environment: str, tmp_path: Path) -> None:
    """And the page says what becomes of a denial that the tool raises."""
    assert row(framework, run(framework, environment, tmp_path)) in rows_of_page()


def test_the_page_has_the_versions_that_are_tried() -> None:
    """`python -m tests.frameworks --write` writes them."""
    assert outdated(rows_of_page()) == []
    assert len(rows_of_page()) == len(FRAMEWORKS)


def test_each_framework_has_an_example_and_no_other() -> None:
    assert sorted(program(framework) for framework in FRAMEWORKS if framework.has_program) == EXAMPLES


def test_the_table_links_to_the_section_of_each_program() -> None:
    titles = re.findall(r"^## (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert titles == ["Ten minutes", *(framework.title for framework in FRAMEWORKS if framework.has_program)]


def code_of(example: Path) -> str:
    """The program without what its docstring says of it."""
    text = example.read_text("utf-8")
    docstring = ast.parse(text).body[0]
    return "".join(text.splitlines(keepends=True)[docstring.end_lineno :]).strip()


def tool_of_the_page() -> str:
    """What the programs have in common, from the client to the end of the tool."""
    shown = r"^```python\nimport os\n.*?\n\n(authsec = .*?)\n```"
    (tool,) = re.findall(shown, PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return str(tool)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_page_shows_the_example_as_it_is(example: Path) -> None:
    """A program whose tool is not that of the page is shown as a whole."""
    page = PAGE.read_text("utf-8")
    imports, common, rest = code_of(example).partition(tool_of_the_page())
    own = "\n".join(line for line in imports.splitlines() if line and line not in IMPORTS_OF_THE_TOOL)
    shown = f"{own}\n\n# fetch_customer, as above{rest.rstrip()}" if common else imports
    assert f"```python\n{shown}\n```" in page
    assert f"(../{example.relative_to(ROOT).as_posix()})" in page


@pytest.mark.parametrize("framework", FRAMEWORKS_OF_THE_CONSOLE[1:-1], ids=lambda framework: framework.title)
def test_the_console_shows_the_example_as_it_is(framework: ConsoleFramework) -> None:
    """And installs what the page of examples does. Its program for AutoGen is that of the walk-through."""
    shown = framework.program("customers:read", "").strip()
    (example,) = [each for each in EXAMPLES if code_of(each) == shown]
    section = PAGE.read_text("utf-8").partition(f"(../{example.relative_to(ROOT).as_posix()})")[0].rpartition("## ")[2]
    assert f"`pip install {framework.packages}`" in section


def pytest_in(folder: Path, python: Path, *ours: Path) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
    return subprocess.run(
        command, cwd=folder, env=variables(*ours), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.soak  # test_testing.py runs the tests of a page, too
def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """For the tool of an example as a module."""
    tool, _, _ = code_of(ROOT / "examples" / "frameworks" / "pydantic_ai_tool.py").partition("\nagent = ")
    (tmp_path / "crm_agent.py").write_text(tool.replace("from pydantic_ai import Agent\n", ""), "utf-8")
    write_tests_of_the_page(tmp_path, "conftest.py", "test_agent.py")
    done = pytest_in(tmp_path, Path(sys.executable))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.soak
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
    done = pytest_in(tmp_path, python_with(HERE / f"{DEFAULT}.txt"), OURS)
    assert "FAILED test_run.py::test_no_model_sees_the_token - AssertionError" in done.stdout, done.stdout


class AnyFramework(ModuleType):
    """Stands in for a package that an example imports, whatever the example takes from it."""

    def __getattr__(self, name: str) -> object:
        return object()


def imported_by(example: Path) -> set[str]:
    """The modules that the program names."""
    nodes = list(ast.walk(ast.parse(example.read_text("utf-8"))))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return whole | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_a_wrong_client_id_ends_the_example_with_one_block(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in imported_by(example) - set(sys.stdlib_module_names) - {"authsec"}:
        monkeypatch.setitem(sys.modules, name, AnyFramework(name))
    monkeypatch.setenv("DOWNSTREAM_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AUTHSEC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", "customer-support")
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(example), run_name="__main__")
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.startswith("The SDK needs the agent's client_id, not its slug.")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_variables_that_are_missing_are_told_at_once(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in imported_by(example) - set(sys.stdlib_module_names) - {"authsec"}:
        monkeypatch.setitem(sys.modules, name, AnyFramework(name))
    for name in ("DOWNSTREAM_URL", "AUTHSEC_BASE_URL", "AUTHSEC_AGENT_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(example), run_name="__main__")
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "base_url and client_id are not set." in said
    assert said.endswith(
        'DOWNSTREAM_URL is not set. Add, with your own value:\n    export DOWNSTREAM_URL="YOUR-VALUE"\n'
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_no_example_hides_what_it_imports(example: Path) -> None:
    """A file that is run finds its neighbours first: examples/frameworks/langchain.py would import itself."""
    imported = {name.partition(".")[0] for name in imported_by(example)}
    assert imported & {neighbour.stem for neighbour in EXAMPLES} == set()
    assert imported & set(sys.stdlib_module_names) <= {"asyncio", "os", "typing"}
