"""`uv pip install` of ours beside somebody else's framework, as the pages have it. Nothing is installed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ..environments import do_without

ROOT = Path(__file__).resolve().parents[2]
UV = os.environ.get("UV") or shutil.which("uv") or "uv"


def documented_commands() -> list[list[str]]:
    """The arguments of each `uv pip install` in a shell block of our pages, with the path of this clone."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = [
        line for page in pages for line in re.findall(r"^uv pip install (.+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    return [shlex.split(re.sub(r"\$clone|/path/to/clone", str(ROOT), line)) for line in lines]


class Environment:
    """A new environment that is to hold an agent."""

    def __init__(self, folder: Path, name: str = "agent-venv") -> None:
        self.path = folder / name
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, self.path], check=True)

    def dry_run(self, arguments: list[str], *, inside: Path) -> subprocess.CompletedProcess[str]:
        """What uv would install there, when it is run inside this folder."""
        command = [UV, "pip", "install", "--dry-run", "--python", self.path, *arguments]
        return subprocess.run(command, cwd=inside, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Without a package index the test is skipped, and says so; in CI it fails."""
    made = Environment(tmp_path)
    reached = made.dry_run(["requests"], inside=tmp_path)
    if reached.returncode:
        do_without(reached.stderr)
    return made


FIRST, *OTHERS = documented_commands()


@pytest.mark.parametrize(
    "arguments",
    [FIRST, *(pytest.param(each, marks=pytest.mark.soak) for each in OTHERS)],
    ids=lambda arguments: arguments[-2],
)
def test_the_command_of_the_page_is_resolved(arguments: list[str], environment: Environment, tmp_path: Path) -> None:
    done = environment.dry_run(arguments, inside=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f" + authsec @ {(ROOT / 'packages' / 'authsec').as_uri()}\n" in done.stderr


@pytest.mark.soak  # the command of a page is resolved in every run
def test_our_pins_apply_inside_of_the_clone_alone(environment: Environment, tmp_path: Path) -> None:
    """Why the pages say to run it outside. If this fails, they need not."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (pin,) = (pin for pin in root["tool"]["uv"]["constraint-dependencies"] if pin.startswith("requests=="))
    another = [str(ROOT / "packages" / "authsec"), pin.replace("==", "!=")]
    assert environment.dry_run(another, inside=tmp_path).returncode == 0
    inside = environment.dry_run(another, inside=ROOT)
    assert inside.returncode == 1
    assert "unsatisfiable" in inside.stderr


@pytest.mark.soak  # likewise
def test_uv_installs_into_the_active_environment_of_another_folder(environment: Environment, tmp_path: Path) -> None:
    """Why the pages say to look which one is active. If this fails, they need not."""
    own = Environment(tmp_path, ".venv")
    inactive = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
    for active, used in ((inactive | {"VIRTUAL_ENV": str(environment.path)}, environment), (inactive, own)):
        command = [UV, "pip", "install", "--dry-run", "--verbose", "requests"]
        done = subprocess.run(
            command, cwd=tmp_path, env=active, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        assert f"{used.path}{os.sep}" in done.stderr
        other = environment if used is own else own
        assert f"{other.path}{os.sep}" not in done.stderr
