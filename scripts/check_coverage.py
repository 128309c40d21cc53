"""Check the test coverage of the SDK as a whole, and of each file with rules (`RULES`) separately.

    uv run pytest --cov --cov-config=.ci/coverage.ini --cov-report=json:coverage.json @.ci/coverage-tests.txt
    uv run --no-sync python scripts/check_coverage.py coverage.json

The coverage is the share of covered lines and branches, as coverage.py computes it. A file that no test imports has no
coverage. If a share is below `FLOOR` per cent, the script prints the file and exits with status 1.
`.ci/coverage-tests.txt` lists the tests that run with coverage: the tests of the SDK and of the rules.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from coverage import Coverage

FLOOR = 95.0
SDK = "packages/authsec/src/authsec/"
RULES = ("model.py", "decision.py", "validation.py", "term_changes.py")


def main(report: str) -> int:
    """Check the shares in one JSON report of coverage.py. Return the exit status."""
    files: dict[str, dict[str, Any]] = {
        name: file["summary"] for name, file in json.loads(Path(report).read_text("utf-8"))["files"].items()
    }
    sdk = {name: summary for name, summary in files.items() if name.startswith(SDK)}
    rules = {name: summary for name, summary in files.items() if Path(name).name in RULES}
    if not sdk or not rules:
        print(f"{report} has no file of {SDK if not sdk else 'the rules'}. Was the report made in this folder?")
        return 1
    sdk |= {path: not_imported(path) for path in found(f"{SDK}**/*.py") if path not in sdk}
    there = (path for each in RULES for path in found(f"packages/*/src/**/{each}"))
    rules |= {path: not_imported(path) for path in there if path not in rules}
    shares = {"authsec as a whole": share(sdk)} | {name: share({name: summary}) for name, summary in rules.items()}
    for name, percent in shares.items():
        print(f"{percent:6.1f} %  {name}{'' if percent >= FLOOR else f'   below {FLOOR:g} %'}")
    return int(min(shares.values()) < FLOOR)


def found(pattern: str) -> list[str]:
    """Return the paths of all files that match the pattern."""
    return [path.as_posix() for path in sorted(Path().glob(pattern))]


def not_imported(path: str) -> dict[str, int]:
    """Return the summary of a file that no test imports: no statement is covered."""
    statements = len(Coverage(data_file=None).analysis2(path)[1])
    return {"num_statements": statements, "covered_lines": 0, "num_branches": 0, "covered_branches": 0}


def share(files: dict[str, dict[str, Any]]) -> float:
    """Return the covered lines and branches in per cent of all lines and branches."""
    covered = sum(summary["covered_lines"] + summary["covered_branches"] for summary in files.values())
    there = sum(summary["num_statements"] + summary["num_branches"] for summary in files.values())
    return 100.0 * covered / there if there else 100.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
