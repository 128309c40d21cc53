"""What `inside` and `inside_mcp` hold is run by the pytest of other environments: those of set_a.txt to set_d.txt."""

from __future__ import annotations

collect_ignore = ["inside", "inside_mcp"]
