"""Placeholder."""
import sys, tempfile
from pathlib import Path
from .databases import cluster
from .faults import FAULTS
from .runs import run
from contextlib import ExitStack
import time
def main():
    name, kind = sys.argv[1:3]
    long = "--long" in sys.argv
    with ExitStack() as s:
        folder = Path(s.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        c = s.enter_context(cluster()) if kind == "postgresql" else None
        t=time.monotonic()
        r = run(next(f for f in FAULTS if f.name == name), kind, folder, c, long=long)
        print(f"{time.monotonic()-t:.1f}s", r.requests, r.tokens, r.changes, dict(r.answers), r.recoveries, f"{r.slowest_refusal:.2f} {r.slowest_change:.2f}")
        f = r.found
        print(len(f)); print("\n".join(f[:12]))
        if f: import os, shutil; shutil.copytree(folder, "/tmp/harness-last", dirs_exist_ok=True, ignore=shutil.ignore_patterns("disk","data"))
main()
