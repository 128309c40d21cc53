"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings

SHARE, FEWEST = 8, 6


def examples(full: int) -> int:
    """All of them in a full run (`-m "soak or hypothesis"`), an eighth in any other, and never under six."""
    return full if settings.get_current_profile_name() == "full" else min(full, max(FEWEST, full // SHARE))
