"""What is counted of requests for tokens, and how. Pure: what has been counted and what is yet to be agree by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from authsec_server.audit.model import EventKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A granted or refused request, or `occurrences` of them that are alike, the last one `at`.

    `under` are the ids of the delegations and roles that the token draws from.
    """

    at: datetime
    kind: EventKind
    reason: str = ""
    client_id: str | None = None
    under: tuple[str, ...] = ()
    proof_id: str | None = None
    actions: tuple[str, ...] = ()
    occurrences: int = 1

    @property
    def subjects(self) -> frozenset[str]:
        """All that a token is a use of. A role can stand behind two of its delegations."""
        return frozenset(id_ for id_ in (self.client_id, self.proof_id, *self.under) if id_)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastUse:
    """When something last got a token, and when it last was refused one and why. None: never.

    Refusals are told of clients only. Those of callers that proved nothing are known to the minute.
    """

    granted_at: datetime | None = None
    refused_at: datetime | None = None
    refused_reason: str = ""

    def and_later(self, other: LastUse) -> LastUse:
        """Both put together: the later of each. Of two reasons at one instant the last by alphabet is told."""
        granted_at, later = self.granted_at, self
        if granted_at is None or (other.granted_at is not None and other.granted_at > granted_at):
            granted_at = other.granted_at
        if self.refused_at is None or (
            other.refused_at is not None
            and (other.refused_at, other.refused_reason) > (self.refused_at, self.refused_reason)
        ):
            later = other
        return LastUse(granted_at=granted_at, refused_at=later.refused_at, refused_reason=later.refused_reason)


NEVER = LastUse()


@dataclass(slots=True, kw_only=True)
class Counts:
    """Numbers by their keys. A subject is a client, a delegation or a role; of last uses also a proof."""

    hours: Counter[tuple[datetime, str, str]] = field(default_factory=Counter)  # hour, kind, reason
    client_hours: Counter[tuple[str, datetime, str, str]] = field(default_factory=Counter)  # client, hour, kind, reason
    uses: Counter[tuple[str, datetime, str]] = field(default_factory=Counter)  # subject, day, action
    last: dict[tuple[str, datetime], LastUse] = field(default_factory=dict)  # subject, month

    def add(self, outcome: Outcome) -> None:
        """Count it in."""
        hour = hour_of(outcome.at)
        self.hours[hour, outcome.kind, outcome.reason] += outcome.occurrences
        if outcome.client_id is None:
            return
        self.client_hours[outcome.client_id, hour, outcome.kind, outcome.reason] += outcome.occurrences
        if outcome.kind is EventKind.TOKEN_ISSUED:
            subjects, day, month = outcome.subjects, day_of(outcome.at), month_of(outcome.at)
            granted = LastUse(granted_at=outcome.at)
            for subject in subjects:
                self._last((subject, month), granted)
            for subject in subjects - {outcome.proof_id}:
                for action in outcome.actions:
                    self.uses[subject, day, action] += outcome.occurrences
        elif outcome.kind is EventKind.TOKEN_REFUSED:
            refused = LastUse(refused_at=outcome.at, refused_reason=outcome.reason)
            self._last((outcome.client_id, month_of(outcome.at)), refused)

    def last_of_subjects(self) -> dict[str, LastUse]:
        """The last use of each subject in any month."""
        found: dict[str, LastUse] = {}
        for (subject, _), use in self.last.items():
            found[subject] = found.get(subject, NEVER).and_later(use)
        return found

    def _last(self, key: tuple[str, datetime], use: LastUse) -> None:
        known = self.last.get(key)
        self.last[key] = use if known is None else known.and_later(use)


def counts_of(outcomes: Iterable[Outcome]) -> Counts:
    """All of them, counted."""
    counts = Counts()
    for outcome in outcomes:
        counts.add(outcome)
    return counts


def minute_of(at: datetime) -> datetime:
    """The minute's beginning."""
    return at.replace(second=0, microsecond=0)


def hour_of(at: datetime) -> datetime:
    """The hour's beginning."""
    return at.replace(minute=0, second=0, microsecond=0)


def day_of(at: datetime) -> datetime:
    """The day's beginning (UTC)."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def month_of(at: datetime) -> datetime:
    """The month's beginning (UTC)."""
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
