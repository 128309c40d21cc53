"""The rules for counting token requests. Pure.

The roll-up stores counts by these rules. Queries use the same rules for events that are not counted yet.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from authsec_server.audit.model import EventKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a token request, granted or refused. It may represent several identical requests.

    `occurrences` is the number of identical requests, and `at` is the time of the last one.
    `under` contains the ids of the delegations and roles that grant the token's actions.
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
        """Return the ids of the client, the proof, the delegations and the roles, without duplicates.

        Two delegations can use the same role.
        """
        return frozenset(id_ for id_ in (self.client_id, self.proof_id, *self.under) if id_)

    def use_of(self, subject: str) -> LastUse | None:
        """Return the use of one of the `subjects`; None if the outcome is not a use of this subject."""
        if self.kind is EventKind.TOKEN_ISSUED:
            return LastUse(granted_at=self.at)
        if self.kind is EventKind.TOKEN_REFUSED and subject == self.client_id:
            return LastUse(refused_at=self.at, refused_reason=self.reason)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastUse:
    """The time of a subject's last token, and the time and reason of the subject's last refusal.

    None means never. Only clients have refusals.
    The refusal of an unauthenticated caller is exact only to the minute.
    """

    granted_at: datetime | None = None
    refused_at: datetime | None = None
    refused_reason: str = ""

    def and_later(self, other: LastUse) -> LastUse:
        """Merge two last uses: keep the later grant and the later refusal.

        If two refusals have the same time, the alphabetically last reason is kept.
        """
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
MOST_ENTRIES: Final = 50_000  # counts that are in memory at once


@dataclass(slots=True, kw_only=True)
class Counts:
    """Counts of token requests: by hour, by client and hour, and by subject and day. `last` contains the last uses.

    A subject is a client, a delegation or a role. In `last`, a subject can also be a proof.
    """

    hours: Counter[tuple[datetime, str, str]] = field(default_factory=Counter)  # hour, kind, reason
    client_hours: Counter[tuple[str, datetime, str, str]] = field(default_factory=Counter)  # client, hour, kind, reason
    uses: Counter[tuple[str, datetime, str]] = field(default_factory=Counter)  # subject, day, action
    last: dict[tuple[str, datetime], LastUse] = field(default_factory=dict)  # subject, month

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return len(self.uses) + len(self.last) + len(self.client_hours) + len(self.hours)

    def add(self, outcome: Outcome) -> None:
        """Add the outcome to the counts."""
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

    def _last(self, key: tuple[str, datetime], use: LastUse) -> None:
        known = self.last.get(key)
        self.last[key] = use if known is None else known.and_later(use)


def minute_of(at: datetime) -> datetime:
    """Return the beginning of the minute."""
    return at.replace(second=0, microsecond=0)


def hour_of(at: datetime) -> datetime:
    """Return the beginning of the hour."""
    return at.replace(minute=0, second=0, microsecond=0)


def day_of(at: datetime) -> datetime:
    """Return the beginning of the day (UTC)."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def month_of(at: datetime) -> datetime:
    """Return the beginning of the month (UTC)."""
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
