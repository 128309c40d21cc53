"""Run the tests of one framework in one of its environments."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from ..environments import python_with, variables
from .catalogue import HERE, ROOT, Framework

OURS = ROOT / "packages" / "authsec" / "src"
TESTING_PAGE = ROOT / "docs" / "framework-testing.md"

Findings = list[str | None]
"""What the model reads of a denial that a tool raises, `<sentence>` in place of the denial; None if the run ends."""


class Failed(Exception):
    """With what pytest printed."""


def run(framework: Framework, environment: str, folder: Path) -> Findings:
    """What the tests find out. They are followed by the page's own test of a run, for the program that is shown.

    One process a framework, since each has settings for the whole process. Raises `Failed`.
    """
    inside, findings = HERE / "inside", folder / "findings.json"
    what = [inside / framework.tests]
    if framework.tests == "test_tools.py":
        shutil.copy(program(framework), folder / "my_agent.py")
        write_tests_of_the_page(folder, "test_run.py")
        what.append(folder)
    alone = ["-c", os.devnull, "--rootdir", inside, "--confcutdir", inside, "-p", "no:cacheprovider"]
    brief = ["-q", "--tb=short", "--show-capture=no", "--disable-warnings", "--maxfail=3"]
    which = ["--framework", framework.name, "--findings", findings]
    done = subprocess.run(
        [python_with(HERE / f"{environment}.txt"), "-m", "pytest", *alone, *brief, *which, *what],
        cwd=folder,
        env=variables(OURS) | {"DOWNSTREAM_URL": "http://127.0.0.1:9"},  # as the page's conftest.py has it
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    none_skipped = re.search(r"^\d+ passed(, \d+ warnings?)? in ", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not none_skipped:
        raise Failed(f"{framework.title} in {environment}:\n{done.stdout}{done.stderr}")
    found: Findings = json.loads(findings.read_text("utf-8"))
    return found


def program(framework: Framework) -> Path:
    return ROOT / "examples" / "frameworks" / f"{framework.name}_tool.py"


def write_tests_of_the_page(folder: Path, *names: str) -> None:
    """The files that docs/framework-testing.md shows."""
    page = TESTING_PAGE.read_text("utf-8")
    for name in names:
        (block,) = re.findall(rf"^```python\n(# {name}\n.*?)^```", page, re.DOTALL | re.MULTILINE)
        (folder / name).write_text(block, "utf-8")
