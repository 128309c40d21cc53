"""Run the fault harness, and print what was found.

    uv run --no-sync python -m tests.faults                                # every fault, both databases: half an hour
    uv run --no-sync python -m tests.faults kill --database sqlite         # one fault on one database
    uv run --no-sync python -m tests.faults kill freeze --rounds 3         # so many rounds of two faults
    uv run --no-sync python -m tests.faults --results results.json --write # keep the results, renew docs/reliability.md

With `--results` the results of several calls add up: those of the same fault and database are replaced. Faults that
need a small file system (`full-disk`) need root; without it they are skipped. The status is 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from .databases import KINDS, cluster
from .faults import FAULTS
from .runs import Result, run
from .table import Row, merge, write

ORDER = [fault.name for fault in FAULTS]


def main() -> int:
    """Run what was asked for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="fault", help=f"{', '.join(ORDER)}; all, if none is named")
    parser.add_argument("--database", choices=KINDS, help="one of the two, instead of both")
    parser.add_argument("--rounds", type=int, default=0, help="of each fault, instead of the number of the fault")
    parser.add_argument("--short", action="store_true", help="faults of the length that CI uses")
    parser.add_argument("--results", type=Path, help="file that results are added to")
    parser.add_argument("--write", action="store_true", help="write the tables of docs/reliability.md")
    asked = parser.parse_args()
    if unknown := set(asked.faults) - set(ORDER):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    broken, postgresql = 0, ""
    with ExitStack() as stack:
        kinds = [asked.database] if asked.database else list(KINDS)
        shared = stack.enter_context(cluster()) if "postgresql" in kinds else None
        if shared is not None:
            postgresql = shared.run("SHOW server_version")[0][0]
        for fault in FAULTS:
            for kind in kinds:
                if kind not in fault.kinds or (asked.faults and fault.name not in asked.faults):
                    continue
                began = time.monotonic()
                with tempfile.TemporaryDirectory(prefix="authsec-faults-", ignore_cleanup_errors=True) as folder:
                    try:
                        result = run([fault], kind, Path(folder), shared, long=not asked.short, rounds=asked.rounds)
                    except PermissionError as error:
                        print(f"{fault.name}, {kind}: skipped, {error}", flush=True)
                        continue
                broken += len(result.found)
                rows.append(Row.of(result))
                _report(result, time.monotonic() - began)
                if asked.results:  # at once: a later fault may be ended
                    merge(asked.results, rows)
    if asked.write:
        write(merge(asked.results, rows) if asked.results else rows, ORDER, postgresql=postgresql)
    return int(broken > 0)


def _report(result: Result, took: float) -> None:
    answers = ", ".join(f"{what} {status}: {number}" for (what, status), number in sorted(result.answers.items()))
    print(f"{result.fault}, {result.kind}: {result.rounds} rounds in {took:.0f} s; {answers}")
    recovered = [each for each in result.recoveries if each.complete]
    if recovered:
        slowest = max(each.token or 0.0 for each in recovered)
        print(f"  {result.changes} changes; slowest recovery {slowest:.1f} s, refusal {result.slowest_refusal:.1f} s, "
              f"change beside a frozen server {result.slowest_change:.1f} s")  # fmt: skip
    for found in result.found[:20]:
        print(f"  VIOLATION {found}")
    if len(result.found) > 20:
        print(f"  and {len(result.found) - 20} more")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
