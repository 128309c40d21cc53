"""Try every attack on every proxy, and print what each did.

    uv run --no-sync python -m tests.proxies                  # a minute
    uv run --no-sync python -m tests.proxies --write          # renew the table of docs/verify-server.md

Every proxy has to be installed. The status is 1 if a test fails or is skipped; then nothing is written.
"""

from __future__ import annotations

import argparse
import sys

import pytest

from .programs import HERE, PROGRAMS
from .table import Verdicts, lines, write

# The table's own test fails while the page is older than the attacks.
_WORDS = ["-n", "0", "--deselect", "tests/proxies/test_attacks.py::test_the_table_names_every_attack_and_version"]


class Findings:
    """A plugin of pytest: what the tests found, and whether they all ran."""

    def __init__(self) -> None:
        self.verdicts: dict[tuple[str, str], str] = {}
        self.all_ran = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.all_ran &= report.passed
        if report.when == "call":
            for _, (proxy, title, verdict) in report.user_properties:
                self.verdicts[proxy, title] = verdict


def main() -> int:
    """Run the tests; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table of docs/verify-server.md")
    asked = parser.parse_args()
    findings = Findings()
    if pytest.main([*_WORDS, str(HERE)], plugins=[findings]) or not findings.all_ran:
        return 1
    verdicts: Verdicts = findings.verdicts
    table = lines(verdicts, {name: program.version() for name, program in PROGRAMS.items()})
    print(*table, sep="\n")
    if asked.write:
        write(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
