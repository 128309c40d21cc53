"""Measure what a token costs, how many tokens the server issues, and how long one takes.

    uv run --no-sync python -m benchmarks                 # half an hour; needs wrk and npm, and nothing else to do
    uv run --no-sync python -m benchmarks --smoke         # seconds, with few agents and without a reference
    uv run --no-sync python -m benchmarks --json --plots FOLDER

Progress is on stderr. The table is on stdout, or with `--json` one line of JSON. `--plots` writes SVG files.
The exit status is 0 whatever was measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.tokens.plots import write_plots
from benchmarks.tokens.report import as_json, as_markdown, print_table
from benchmarks.tokens.scenario import Size, run_all


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="show in seconds that it works; the figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write plots into this folder")
    parser.add_argument("--rounds", type=int, help="rounds of each measure (5)")
    parser.add_argument("--seconds", type=int, help="of a round (5)")
    asked = parser.parse_args()
    size = (Size.smoke() if asked.smoke else Size()).changed(rounds=asked.rounds, seconds=asked.seconds)
    for program in ("wrk", *(("npm",) if size.has_reference else ())):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing: apt-get install {program}")
    console = Console(stderr=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="authsec-benchmarks-")))
        folder.chmod(0o755)  # as root, PostgreSQL runs as another user, who must reach its data
        report = run_all(folder, size, console)
    if asked.plots:
        asked.plots.mkdir(parents=True, exist_ok=True)
        write_plots(report, asked.plots)
    if asked.json:
        print(json.dumps(as_json(report)))
    elif asked.markdown:
        print(as_markdown(report))
    else:
        print_table(report)


if __name__ == "__main__":
    main()
