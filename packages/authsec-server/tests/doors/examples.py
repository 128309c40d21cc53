"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings

SHARE, FEWEST = 4, 10


def examples(full: int) -> int:
    """All of them in a full run (`-m "soak or hypothesis"`), a quarter in any other, and never under ten."""
    return full if settings.get_current_profile_name() == "full" else min(full, max(FEWEST, full // SHARE))
