"""What `inside` holds is run by the pytest of other environments: those of set_a.txt and set_b.txt."""

from __future__ import annotations

collect_ignore = ["inside"]
