"""Try a decorated tool in other people's frameworks, and print what each makes of a denial that the tool raises.

    uv run --no-sync python -m tests.frameworks                  # all of them: some ten minutes, 3 GB of packages
    uv run --no-sync python -m tests.frameworks crewai dspy      # two of them
    uv run --no-sync python -m tests.frameworks --write          # renew the table of docs/frameworks.md

The status is 1 if a test fails; then nothing is written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .catalogue import FRAMEWORKS
from .runs import Failed, Findings, run
from .table import row, write


def main() -> int:
    """Run what was asked for; the exit status."""
    names = [framework.name for framework in FRAMEWORKS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frameworks", nargs="*", metavar="framework", help=f"{', '.join(names)}; all, if none is named")
    parser.add_argument("--write", action="store_true", help="write the table of docs/frameworks.md")
    asked = parser.parse_args()
    if unknown := set(asked.frameworks) - set(names):
        parser.error(f"no such framework: {', '.join(sorted(unknown))}")
    found: dict[str, Findings] = {}
    for framework in FRAMEWORKS:
        if asked.frameworks and framework.name not in asked.frameworks:
            continue
        for environment in framework.environments:
            with tempfile.TemporaryDirectory(prefix="authsec-frameworks-", ignore_cleanup_errors=True) as folder:
                try:
                    found[framework.name] = run(framework, environment, Path(folder))
                except Failed as error:
                    print(error)
                    return 1
        print(row(framework, found[framework.name]), flush=True)
    if asked.write:
        write(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
