"""What must be tested to the last branch: the SDK as a whole, and each room's rules (`RULES`) by themselves.

    uv run pytest --cov --cov-config=.ci/coverage.ini --cov-report=json:coverage.json @.ci/coverage-tests.txt
    uv run --no-sync python scripts/check_coverage.py coverage.json

Coverage counts lines and branches together, as coverage.py does. What no test imports counts as not covered at all.
Below the floor the files are named, and the exit status is 1. `.ci/coverage-tests.txt` lists the tests that run with
coverage: the SDK's, and those of the rules.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from coverage import Coverage

FLOOR = 95.0
SDK = "packages/authsec/src/authsec/"
RULES = ("model.py", "decision.py", "validation.py")


def main(report: str) -> int:
    """Check one report of `coverage json`."""
    files: dict[str, dict[str, Any]] = {
        name: file["summary"] for name, file in json.loads(Path(report).read_text("utf-8"))["files"].items()
    }
    sdk = {name: summary for name, summary in files.items() if name.startswith(SDK)}
    rules = {name: summary for name, summary in files.items() if Path(name).name in RULES}
    if not sdk or not rules:
        print(f"{report} says nothing of {SDK if not sdk else 'any model.py'}: was it measured in this folder?")
        return 1
    sdk |= {path: not_imported(path) for path in found(f"{SDK}**/*.py") if path not in sdk}
    there = (path for each in RULES for path in found(f"packages/*/src/**/{each}"))
    rules |= {path: not_imported(path) for path in there if path not in rules}
    shares = {"authsec as a whole": share(sdk)} | {name: share({name: summary}) for name, summary in rules.items()}
    for name, percent in shares.items():
        print(f"{percent:6.1f} %  {name}{'' if percent >= FLOOR else f'   below {FLOOR:g} %'}")
    return int(min(shares.values()) < FLOOR)


def found(pattern: str) -> list[str]:
    """The files there are, whether a test imports them or not."""
    return [path.as_posix() for path in sorted(Path().glob(pattern))]


def not_imported(path: str) -> dict[str, int]:
    """What coverage.py says nothing of: statements that are there, and none of them covered."""
    statements = len(Coverage(data_file=None).analysis2(path)[1])
    return {"num_statements": statements, "covered_lines": 0, "num_branches": 0, "covered_branches": 0}


def share(files: dict[str, dict[str, Any]]) -> float:
    """Covered lines and branches, in per cent of those there are."""
    covered = sum(summary["covered_lines"] + summary["covered_branches"] for summary in files.values())
    there = sum(summary["num_statements"] + summary["num_branches"] for summary in files.values())
    return 100.0 * covered / there if there else 100.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
