"""The tests of `inside` and `inside_mcp` are run by the interpreters of other environments: the .txt files here."""

from __future__ import annotations

from ..foreign.recording import record_verdict as record_verdict

collect_ignore = ["inside", "inside_mcp"]
