"""Renew the exact versions in `[tool.uv] constraint-dependencies` of the root pyproject.toml.

    uv run --no-sync python scripts/renew_pins.py

Everything that the workspace needs, in all its groups and for every Python it supports, is resolved anew without the
old pins, in a folder of its own. The list that is written names versions only: no registry, no hash, no file. That is
why it is tracked and `uv.lock`, which records where each file came from, is not.

The packages of other people that tests/foreign, tests/frameworks and tests/proxies install beside ours are pinned in
the same way, in files there; what tests/browser and tests/foreign take from npm, in the package.json there.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PINS = re.compile(r"^constraint-dependencies = \[.*?^\]\n", re.DOTALL | re.MULTILINE)


def main() -> None:
    """Resolve, rewrite the list, say what changed."""
    pyproject = ROOT / "pyproject.toml"
    before = pyproject.read_text("utf-8")
    if not PINS.search(before):
        raise SystemExit(f"{pyproject} has no list `constraint-dependencies`, written over several lines, to renew.")
    after = PINS.sub(lambda _: as_toml(resolve()), before)
    pyproject.write_text(after, "utf-8")
    renew_foreign_packages()
    renew_npm_packages()
    old, new = pins_of(before), pins_of(after)
    for pin in sorted(old ^ new):
        print("+" if pin in new else "-", pin)
    print(f"{len(new)} pins, {len(new - old)} of them new. Now run: uv sync --all-groups && uv run pytest")


def resolve() -> list[str]:
    """The pins that a resolution without pins gives."""
    with tempfile.TemporaryDirectory(prefix="authsec-pins-") as name:
        folder = Path(name)
        for file in [ROOT / "pyproject.toml", *ROOT.glob("packages/*/pyproject.toml")]:
            copy = folder / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(PINS.sub("", file.read_text("utf-8")), "utf-8")
        subprocess.run(["uv", "lock", "--quiet", "--directory", folder], check=True)
        return pins(tomllib.loads((folder / "uv.lock").read_text("utf-8")))


def renew_foreign_packages() -> None:
    """From the files tests/*/*.in to those beside them that end with .txt."""
    for_all_pythons = ["--universal", "--python-version", "3.11", "--upgrade"]
    for wanted in ROOT.glob("tests/*/*.in"):
        versions_only = ["--quiet", "--no-header", "--no-annotate", "--output-file", str(wanted.with_suffix(".txt"))]
        command = ["uv", "pip", "compile", str(wanted), *for_all_pythons, *versions_only]
        with tempfile.TemporaryDirectory() as elsewhere:  # where uv finds none of our own pins
            subprocess.run(command, cwd=elsewhere, check=True)


def renew_npm_packages() -> None:
    """The newest release of each, in the package.json of tests/browser and tests/foreign."""
    for folder in ("browser", "foreign"):
        file = ROOT / "tests" / folder / "package.json"
        package = json.loads(file.read_text("utf-8"))
        for name in package["dependencies"]:
            newest = subprocess.run(["npm", "view", name, "version"], check=True, capture_output=True, text=True)
            package["dependencies"][name] = newest.stdout.strip()
        file.write_text(json.dumps(package, indent=2) + "\n", "utf-8")


def pins(lock: dict[str, Any]) -> list[str]:
    """One requirement a package; where the lock holds several versions, each with the marker it is for."""
    # Packages of the workspace have a path as their source; what comes from an index is pinned.
    packages = [package for package in lock["package"] if "registry" in package["source"]]
    versions = Counter(package["name"] for package in packages)
    return sorted(_pin(package, alone=versions[package["name"]] == 1) for package in packages)


def _pin(package: dict[str, Any], *, alone: bool) -> str:
    exact = f"{package['name']}=={package['version']}"
    if alone:
        return exact
    markers = package["resolution-markers"]
    return f"{exact} ; {' or '.join(f'({marker})' for marker in markers)}"


def as_toml(requirements: list[str]) -> str:
    """The list as it stands in pyproject.toml. Markers quote with apostrophes, so plain double quotes hold them."""
    lines = "".join(f'  "{requirement}",\n' for requirement in requirements)
    return f"constraint-dependencies = [\n{lines}]\n"


def pins_of(pyproject: str) -> set[str]:
    """The pins that a pyproject.toml holds."""
    return set(tomllib.loads(pyproject)["tool"]["uv"]["constraint-dependencies"])


if __name__ == "__main__":
    main()
