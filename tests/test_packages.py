"""The packages of a release fit each other alone: what their pyproject.toml says, and the pages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECTS: list[dict[str, Any]] = [
    tomllib.loads(file.read_text("utf-8"))["project"] for file in ROOT.glob("packages/*/pyproject.toml")
]
NAMES = {project["name"] for project in PROJECTS}
VERSION, *OTHERS = sorted({project["version"] for project in PROJECTS})


def test_no_public_index_accepts_a_package_of_our_version() -> None:
    """PEP 440: a local version, as `1.2+authsec`, cannot be uploaded there. Other people hold our names there."""
    assert Version(VERSION).local == "authsec"
    assert OTHERS == []  # one version for all


def test_our_packages_require_each_other_in_exactly_their_release() -> None:
    """`>=` would accept a package of the same name from an index, and `==0.1.0` its release 0.1.0."""
    ours = {
        (project["name"], each.name): str(each.specifier)
        for project in PROJECTS
        for each in map(Requirement, project["dependencies"])
        if each.name in NAMES
    }
    assert len(ours) == 6
    assert set(ours.values()) == {f"=={VERSION}"}


def test_the_pages_name_the_wheels_of_this_version() -> None:
    text = (ROOT / "docs/install.md").read_text("utf-8").replace("%2B", "+")
    assert set(re.findall(r"authsec\w*-(\d[\w.+]*)-py3", text)) == {VERSION}
