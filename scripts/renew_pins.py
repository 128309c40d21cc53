"""Renew the exact versions in `[tool.uv] constraint-dependencies` of the root pyproject.toml.

    uv run --no-sync python scripts/renew_pins.py

uv resolves all packages of the workspace without the old pins, in a temporary folder: all groups, and every supported
Python. The written list contains only names and versions: no registry, no hash, no file. `uv.lock` records the address
of each file, so git tracks this list instead of `uv.lock`.

tests/foreign, tests/frameworks and tests/proxies also need packages of other projects. The script pins these packages
in the same way, in the .txt files there. It pins npm packages in the package.json of tests/browser,
tests/foreign and tests/javascript.
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
    """Resolve all packages, rewrite the lists, and print the changed pins."""
    pyproject = ROOT / "pyproject.toml"
    before = pyproject.read_text("utf-8")
    if not PINS.search(before):
        raise SystemExit(f"{pyproject} has no list `constraint-dependencies` that spans several lines.")
    after = PINS.sub(lambda _: as_toml(resolve()), before)
    pyproject.write_text(after, "utf-8")
    renew_foreign_packages()
    renew_npm_packages()
    old, new = pins_of(before), pins_of(after)
    for pin in sorted(old ^ new):
        print("+" if pin in new else "-", pin)
    print(f"{len(new)} pins, {len(new - old)} of them new. Now run: uv sync --all-groups && uv run pytest")


def resolve() -> list[str]:
    """Return the pins of a new resolution without the old pins."""
    with tempfile.TemporaryDirectory(prefix="authsec-pins-") as name:
        folder = Path(name)
        for file in [ROOT / "pyproject.toml", *ROOT.glob("packages/*/pyproject.toml")]:
            copy = folder / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(PINS.sub("", file.read_text("utf-8")), "utf-8")
        subprocess.run(["uv", "lock", "--quiet", "--directory", folder], check=True)
        return pins(tomllib.loads((folder / "uv.lock").read_text("utf-8")))


def renew_foreign_packages() -> None:
    """Resolve each tests/*/*.in, and write the versions to the .txt file next to it."""
    for_all_pythons = ["--universal", "--python-version", "3.11", "--upgrade"]
    for wanted in ROOT.glob("tests/*/*.in"):
        versions_only = ["--quiet", "--no-header", "--no-annotate", "--output-file", str(wanted.with_suffix(".txt"))]
        command = ["uv", "pip", "compile", str(wanted), *for_all_pythons, *versions_only]
        with tempfile.TemporaryDirectory() as elsewhere:  # In this folder, uv does not find AuthSec's own pins.
            subprocess.run(command, cwd=elsewhere, check=True)


def renew_npm_packages() -> None:
    """Write the newest versions to the package.json of tests/browser, tests/foreign and tests/javascript."""
    for folder in ("browser", "foreign", "javascript"):
        file = ROOT / "tests" / folder / "package.json"
        package = json.loads(file.read_text("utf-8"))
        for name in package["dependencies"]:
            newest = subprocess.run(["npm", "view", name, "version"], check=True, capture_output=True, text=True)
            package["dependencies"][name] = newest.stdout.strip()
        file.write_text(json.dumps(package, indent=2) + "\n", "utf-8")


def pins(lock: dict[str, Any]) -> list[str]:
    """Return one requirement per package. If the lock has several versions, each requirement has a marker."""
    # Packages of the workspace have a path as their source. Only packages from an index are pinned.
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
    """Format the list for pyproject.toml. Markers contain only single quotes, so double quotes need no escape."""
    lines = "".join(f'  "{requirement}",\n' for requirement in requirements)
    return f"constraint-dependencies = [\n{lines}]\n"


def pins_of(pyproject: str) -> set[str]:
    """Return the pins in the text of a pyproject.toml."""
    return set(tomllib.loads(pyproject)["tool"]["uv"]["constraint-dependencies"])


if __name__ == "__main__":
    main()
