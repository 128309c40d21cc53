"""The fault harness: real servers under load, one fault at a time, and invariants that are checked from outside.

`uv run --no-sync python -m tests.faults` runs it; docs/reliability.md explains it and shows its results.
"""

import sys
from pathlib import Path

# What several test folders share has no package; pytest finds it by its own `pythonpath`.
sys.path.append(str(Path(__file__).resolve().parents[2] / "packages/authsec-server/tests/doors"))
