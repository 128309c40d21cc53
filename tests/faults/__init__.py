"""The fault harness: real servers under load, one fault at a time, and invariants that are checked from outside.

`uv run --no-sync python -m tests.faults` runs it; docs/reliability.md explains it and shows its results.
"""
