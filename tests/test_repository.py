"""What must be true of the repository as a whole: what may stand in it, and that its pages do not lie."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import click
import pytest
from authsec.cli import commands
from authsec.exit_status import Exit
from authsec.lazy_commands import loaded
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LONGEST_MODULE = 400
LOCK_FILES = {"uv.lock", "poetry.lock", "pylock.toml", "yarn.lock", "pnpm-lock.yaml"}
# Hosts that packages come from, and the ways in which tools write them down.
REGISTRY_ADDRESS = re.compile(r"https?://(pypi|files|registry|deb)\.|(registry = |\"resolved\": )\"http|index-url")
MACHINE_PATH = re.compile(rf"{re.escape(str(ROOT))}|/(root|home/\w+|Users/\w+)/")
EMPTY_NAMES = {"utils.py", "helpers.py", "manager.py", "base.py", "common.py"}


def tracked(pattern: str = "*") -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", pattern], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


PAGES = tracked("*.md")
README = (ROOT / "README.md").read_text("utf-8")
SDK_COMMANDS = sorted(
    name
    for name, command in commands.commands.items()
    if getattr(command.callback, "__module__", "").startswith("authsec.")
)


def lines_that_match(pattern: re.Pattern[str]) -> list[str]:
    """Where it occurs in tracked files, this one left out."""
    return [
        f"{file.relative_to(ROOT)}:{number}: {line}"
        for file in tracked()
        if file != Path(__file__).resolve()
        for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_address_of_a_registry_and_no_lock_file_that_records_them() -> None:
    assert lines_that_match(REGISTRY_ADDRESS) == []
    assert [file for file in tracked() if file.name in LOCK_FILES] == []


def test_no_path_of_a_machine() -> None:
    assert lines_that_match(MACHINE_PATH) == []


def test_modules_are_short_and_have_names() -> None:
    modules = [file for file in tracked("*.py") if "tests" not in file.parts]
    assert [file for file in modules if len(file.read_text("utf-8").splitlines()) > LONGEST_MODULE] == []
    assert [file for file in modules if file.name in EMPTY_NAMES] == []


def test_everything_installed_is_pinned() -> None:
    """Else two people who run the tests on one day run different programs; scripts/renew_pins.py mends it."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    pins = [Requirement(pin) for pin in root["tool"]["uv"]["constraint-dependencies"]]
    pinned = {(canonicalize_name(pin.name), str(pin.specifier)) for pin in pins}
    ours = {"authsec", "authsec-autogen", "authsec-demo", "authsec-langchain-sdk", "authsec-server"}
    installed = {(canonicalize_name(found.name), f"=={found.version}") for found in distributions()}
    assert {pair for pair in installed if pair[0] not in ours} <= pinned


def test_reference_pages_are_what_the_code_says() -> None:
    command = [sys.executable, "scripts/renew_reference.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8"))
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def test_each_claim_of_the_security_page_names_its_tests() -> None:
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    _, _, rest = page.partition("## Who attacks, and what stops them")
    claims = re.split(r"^- ", rest.partition("## What is not promised")[0], flags=re.MULTILINE)[1:]
    assert len(claims) > 80
    assert [claim for claim in claims if not re.search(r"\]\([\w/-]+/test_\w+\.py\)", claim)] == []


def anchors(page: Path) -> set[str]:
    """The names of the page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_headings_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8"))
    ours = [(target, heading) for target, heading in links if "://" not in target]
    assert [link for link in ours if link[1] not in anchors(page.parent / link[0] if link[0] else page)] == []


def test_the_readme_links_to_every_page_of_the_docs() -> None:
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)", README))
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in linked] == []


@pytest.mark.parametrize("page", ["README.md", "packages/authsec/README.md", "docs/cli.md"])
def test_each_command_of_an_agents_environment_is_named(page: str) -> None:
    """The SDK's own commands, without those that other packages add."""
    text = (ROOT / page).read_text("utf-8")
    assert [name for name in SDK_COMMANDS if f"`{name}`" not in text] == []


def shell_lines(text: str) -> list[str]:
    """The commands of a page's shell blocks, those of several lines joined, prompts and comments left out."""
    blocks = re.findall(r"^```(?:bash|powershell|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    joined = "\n".join(blocks).replace("\\\n", " ").replace("`\n", " ")
    return [line.strip().removeprefix("$ ").partition("  #")[0] for line in joined.splitlines() if line.strip()]


AUTHSEC_LINES = [
    (page, line.removeprefix("uv run ").split()[1:])
    for page in PAGES
    for line in shell_lines(page.read_text("utf-8"))
    if line.removeprefix("uv run ").startswith("authsec ")
]


@pytest.mark.parametrize(
    ("page", "words"), AUTHSEC_LINES, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else value.name
)
def test_an_authsec_command_of_a_page_exists_with_its_options(page: Path, words: list[str]) -> None:
    command: click.Command | None = commands
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        command = found and loaded(found)
    assert command is not None, f"{page.name}: there is no such command"
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known | {"--help"}, page.name


def test_a_command_of_a_page_runs_as_it_stands_in_a_clone() -> None:
    lines = [
        (page.name, line)
        for page in PAGES
        if page.name not in ("cli.md", "install.md")  # the second is about machines without a clone
        for line in shell_lines(page.read_text("utf-8"))
    ]
    bare = re.compile(r"(?:^(?:\w+=\S+ )*|\| |\$\()authsec [a-z]")
    assert [each for each in lines if bare.search(each[1])] == []


def test_every_exit_status_of_a_check_has_a_row_in_the_page_for_security_officers() -> None:
    rows = re.findall(r"^\| ([0-9, ]+) \|", (ROOT / "docs/tampering.md").read_text("utf-8"), re.MULTILINE)
    named = [int(status) for row in rows for status in row.split(",")]
    assert sorted(named) == sorted(Exit)


def test_the_readme_opens_with_its_two_commands() -> None:
    first_block = next(iter(re.findall(r"^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE)))
    assert [line.partition("#")[0].strip() for line in first_block.splitlines()] == [
        "uv run authsec demo",
        "uv run pytest",
    ]


def test_files_that_the_readme_names_exist() -> None:
    named = re.findall(r"\./packages/[\w-]+|\b(?:examples|docs|scripts|tests)/[\w./-]+\w", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_architecture_names_every_room_and_every_module_of_the_sdk() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    parts = [
        *(ROOT / "packages/authsec-server/src/authsec_server").iterdir(),
        *(ROOT / "packages/authsec/src/authsec").iterdir(),
    ]
    names = [part.name if part.suffix else f"{part.name}/" for part in parts if not part.name.startswith("__")]
    assert [name for name in names if f"`{name}" not in text and name != "py.typed"] == []


def test_modules_that_the_architecture_names_exist() -> None:
    roots = [ROOT, *(ROOT / "packages").glob("*/src"), *(ROOT / "packages").glob("*/src/*")]
    named = re.findall(r"`([\w/-]+\.py)`", (ROOT / "ARCHITECTURE.md").read_text("utf-8"))
    furniture = {"api.py", "service.py", "store.py", "model.py"}
    assert [name for name in named if name not in furniture and not any((root / name).exists() for root in roots)] == []


def test_modules_that_the_table_of_a_package_names_exist() -> None:
    cells = [
        (package.parent, cell)
        for package in tracked("*/__init__.py")
        for cell in re.findall(r"^\| (`.+?) \|", package.read_text("utf-8"), re.MULTILINE)
    ]
    named = [(folder, name) for folder, cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert named
    files = [folder / (name if Path(name).suffix or name.endswith("/") else f"{name}.py") for folder, name in named]
    assert [str(file.relative_to(ROOT)) for file in files if not file.exists()] == []


def test_no_two_classes_of_the_server_have_one_name() -> None:
    names: dict[str, list[str]] = {}
    for module in (ROOT / "packages/authsec-server/src").rglob("*.py"):
        for node in ast.parse(module.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                names.setdefault(node.name, []).append(module.name)
    assert {name: modules for name, modules in names.items() if len(modules) > 1} == {}
