"""An environment with other people's packages and none of ours."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..environments import npm_folder, python_with, variables
from .recording import record_verdict as record_verdict

PACKAGES = Path(__file__).with_name("packages.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignPython:
    """The interpreter of that environment, run where nothing of ours is seen."""

    interpreter: Path
    cwd: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program there; its output is text."""
        command = [self.interpreter, "-c", program, *arguments]
        return subprocess.run(
            command, cwd=self.cwd, env=variables(), capture_output=True, text=True, timeout=60, check=False
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignNode:
    """Node with the packages of package.json. Its programs end with `.mjs` and lie beside this file."""

    folder: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the programs; its output is text."""
        command = ["node", program, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=variables(), capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def database_option() -> str:
    """What is tested here is what callers see, the same on both databases: the embedded one will do."""
    return ""


@pytest.fixture(scope="session")
def foreign_python(tmp_path_factory: pytest.TempPathFactory) -> ForeignPython:
    """The environment of packages.txt."""
    return ForeignPython(interpreter=python_with(PACKAGES), cwd=tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="session")
def foreign_node(tmp_path_factory: pytest.TempPathFactory) -> ForeignNode:
    """Node with the packages of package.json, which are installed anew only when the pins change."""
    here, folder = Path(__file__).parent, tmp_path_factory.mktemp("programs")
    (folder / "node_modules").symlink_to(npm_folder(here / "package.json") / "node_modules")
    for file in (here / "package.json", *here.glob("*.mjs")):
        shutil.copy(file, folder)
    return ForeignNode(folder=folder)
