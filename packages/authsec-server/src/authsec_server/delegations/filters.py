"""Which delegations a list shows, and in which order. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from authsec_server.delegations.model import DelegationState, TargetType

UNUSED_FOR = timedelta(days=30)


class Sort(StrEnum):
    """The order of a list. By end: what ends first, and last what does not end by itself."""

    NEWEST = "newest"
    OLDEST = "oldest"
    ENDS = "ends"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """All of them must fit; what is empty or None asks for nothing.

    `text` is part of the delegation's slug, of the role's or the client's name or slug, or the beginning of an id.
    `ends_before` leaves what ends by itself before then, `unused_since` what was created before then and never gave a
    token. `audience` is one that the delegation names itself; it may be the default one's name, which does not find
    those that name none.
    """

    text: str = ""
    state: DelegationState | None = None
    role_id: str | None = None
    client_id: str | None = None
    target_type: TargetType | None = None
    ends_before: datetime | None = None
    unused_since: datetime | None = None
    audience: str | None = None
    owner: str = ""


def unused(now: datetime) -> Filters:
    """What is live, was for `UNUSED_FOR`, and was never used: who needs it not should not have it."""
    return Filters(state=DelegationState.LIVE, unused_since=now - UNUSED_FOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """How many delegations there are, by what they are now."""

    live: int = 0
    disabled: int = 0
    over: int = 0
