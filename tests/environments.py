"""Environments with other people's packages and none of ours, made once a user and kept.

Names like ours are taken on the public index, so those packages never share an environment with ours. What needs both
finds our sources by `PYTHONPATH`: always those of this checkout, whichever made the environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

OLDEST_NODE = 20


def python_with(packages: Path) -> Path:
    """The interpreter of the environment that holds these pins and nothing else, below the user's cache folder.

    Without a package index the test is skipped, and says so; in CI it fails.
    """
    wanted = packages.read_bytes() + sys.version.encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "authsec-tests")
    folder = cache / f"{packages.parent.name}-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if not folder.exists():
        _install(packages, folder)
    return _python_of(folder)


def pinned_versions(file: Path) -> dict[str, str]:
    """The version of each package that a .txt file, a package.json or a pyproject.toml pins."""
    text = file.read_text("utf-8")
    if file.suffix == ".json":
        return dict(json.loads(text)["dependencies"])
    return dict(re.findall(r'^ *"?([\w.-]+)==([\w.]+)', text, re.MULTILINE))


def variables(*ours: Path) -> dict[str, str]:
    """The variables of a program that runs there. It sees nothing of ours but these folders."""
    hidden = ("PYTHON", "PYTEST", "AUTHSEC", "VIRTUAL")  # what this run of pytest was given, is for its plugins
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return kept | ({"PYTHONPATH": os.pathsep.join(map(str, ours))} if ours else {})


def _install(packages: Path, folder: Path) -> None:
    """Make the environment beside its place and move it there, so that what is in its place is always whole."""
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    building = folder.with_name(f"{folder.name}.{os.getpid()}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, building],
        [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", _python_of(building), "-r", packages],
    ):
        # From there, where uv finds none of our constraints: other people's packages want other versions.
        done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(building, ignore_errors=True)
            do_without(done.stderr)
    try:
        building.rename(folder)
    except OSError:  # another worker was quicker
        shutil.rmtree(building)


def npm_folder(*files: Path) -> Path:
    """A folder with these files and the npm packages that the first of them, a package.json, pins.

    It is made once a user, as `python_with` does. Without Node, npm or an index the test is skipped; in CI it fails.
    """
    wanted = b"".join(file.read_bytes() for file in files) + _node_version().encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "authsec-tests")
    folder = cache / f"{files[0].parent.name}-npm-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if folder.exists():
        return folder
    building = folder.with_name(f"{folder.name}.{os.getpid()}")
    building.mkdir(parents=True)
    for file in files:
        shutil.copy(file, building)
    command = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=building, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(building)
        do_without(f"{files[0]} could not be installed.\n{done.stderr}")
    try:
        building.rename(folder)
    except OSError:  # another worker was quicker
        shutil.rmtree(building)
    return folder


def _node_version() -> str:
    if shutil.which("node") is None or shutil.which("npm") is None:
        do_without("node and npm are not installed.")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        do_without(f"node is {version}; the packages need {OLDEST_NODE}.")
    return version


def do_without(why: str) -> NoReturn:
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    give_up(f"OTHER PEOPLE'S PACKAGES COULD NOT BE INSTALLED, SO NOTHING IS CHECKED WITH THEM\n{why}")


def _python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
