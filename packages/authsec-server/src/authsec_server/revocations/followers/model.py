"""What a reader of the feed says of itself, and what that is worth. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

FOLLOWS_FOR = timedelta(minutes=2)  # after it was seen last; a stream that stands is noted every minute
MOST_AUDIENCES = 16  # in one claim
MOST_CHARACTERS = 4096  # of one claim


class Following(StrEnum):
    """How well it is known that an API follows."""

    PROVED = "proved"  # by its own credential
    SAID = "said"  # somebody says so who may be anybody
    NO = "no"  # not seen in the last two minutes


Proof = Callable[[], str | None]  # the audience of the API whose credential came along, as it stands by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one reader of the feed says of itself. For its `proof` it is asked when there is time, each minute anew."""

    audiences: frozenset[str] = frozenset()
    proof: Proof | None = field(default=None, repr=False)  # it holds the credential

    def __bool__(self) -> bool:
        return bool(self.audiences) or self.proof is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """When somebody last followed the feed for an audience, and when last with proof."""

    audience: str
    seen_at: datetime
    proved_at: datetime | None

    def at(self, now: datetime) -> Following:
        """Whether it follows, by what is known then."""
        if self.proved_at is not None and now - self.proved_at <= FOLLOWS_FOR:
            return Following.PROVED
        return Following.SAID if now - self.seen_at <= FOLLOWS_FOR else Following.NO


def read_claim(headers: Collection[str], proof: Proof | None = None) -> Claim:
    """The claim in these values of the header. One that is too long, or has what no audience has, claims nothing."""
    text = " ".join(headers)
    names = frozenset(text.split(" ")) - {""} if len(text) <= MOST_CHARACTERS else frozenset()
    if len(names) > MOST_AUDIENCES or not all(name.isascii() and name.isprintable() for name in names):
        names = frozenset()
    return Claim(audiences=names, proof=proof)
