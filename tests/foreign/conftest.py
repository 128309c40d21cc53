"""An environment with other people's packages and none of ours, made once a user and kept.

Names like ours are taken on the public index, so the two can never share an environment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = Path(__file__).with_name("packages.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignPython:
    """The interpreter of that environment, run where nothing of ours is seen."""

    interpreter: Path
    cwd: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program there; its output is text."""
        ours = ("PYTHON", "AUTHSEC", "VIRTUAL")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        command = [self.interpreter, "-c", program, *arguments]
        return subprocess.run(
            command, cwd=self.cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def database_option() -> str:
    """What is tested here is what callers see, the same on both databases: the embedded one will do."""
    return ""


@pytest.fixture(scope="session")
def foreign_python(tmp_path_factory: pytest.TempPathFactory) -> ForeignPython:
    """The environment of packages.txt, below the user's cache folder."""
    wanted = PACKAGES.read_bytes() + sys.version.encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "authsec-tests")
    folder = cache / f"foreign-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if not folder.exists():
        _install(folder)
    return ForeignPython(interpreter=_python_of(folder), cwd=tmp_path_factory.mktemp("foreign"))


def _install(folder: Path) -> None:
    """Make the environment beside its place and move it there, so that what is in its place is always whole."""
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    building = folder.with_name(f"{folder.name}.{os.getpid()}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, building],
        [uv, "pip", "install", "--quiet", "--python", _python_of(building), "--requirement", PACKAGES],
    ):
        # From there, where uv finds none of our constraints: other people's packages want other versions.
        done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(building, ignore_errors=True)
            give_up = pytest.fail if os.environ.get("CI") else pytest.skip
            give_up(f"OTHER PEOPLE'S PACKAGES COULD NOT BE INSTALLED, SO NOTHING IS CHECKED WITH THEM\n{done.stderr}")
    try:
        building.rename(folder)
    except OSError:  # another worker was quicker
        shutil.rmtree(building)


def _python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
