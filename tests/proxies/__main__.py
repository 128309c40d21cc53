"""Try every attack on every proxy, and print what each did.

    uv run --no-sync python -m tests.proxies                  # a minute
    uv run --no-sync python -m tests.proxies --write          # renew the table of docs/verify-server.md

Every proxy has to be installed. The status is 1 if a test fails or is skipped; then nothing is written.
"""

from __future__ import annotations

import argparse
import sys

import pytest

from ..generated_tables import VerdictRecorder, write_generated_part
from .programs import HERE, PROGRAMS
from .table import PAGE, lines

# The table's own test fails while the page is older than the attacks.
_WORDS = ["-n", "0", "--deselect", "tests/proxies/test_attacks.py::test_the_table_names_every_attack_and_version"]


def main() -> int:
    """Run the tests; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table of docs/verify-server.md")
    asked = parser.parse_args()
    recorder = VerdictRecorder()
    if pytest.main([*_WORDS, str(HERE)], plugins=[recorder]) or not recorder.all_ran:
        return 1
    table = lines(recorder.verdicts, {name: program.version() for name, program in PROGRAMS.items()})
    print(*table, sep="\n")
    if asked.write:
        write_generated_part(PAGE, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
