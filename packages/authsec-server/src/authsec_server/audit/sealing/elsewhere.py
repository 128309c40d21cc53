"""Heads elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether heads are sent elsewhere, and since when none was taken there; `problem` says why."""

    sent: bool = False
    undelivered_since: datetime | None = None
    problem: str = ""


NOWHERE = Standing()
