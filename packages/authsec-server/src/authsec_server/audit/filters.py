"""What is asked of the journal, and the page that answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authsec_server.audit.model import Decision, Event, EventKind, Recorded
from authsec_server.principal import PrincipalKind

TOKEN_KINDS = frozenset({EventKind.TOKEN_ISSUED, EventKind.TOKEN_REFUSED})
REFUSALS = frozenset(
    {
        EventKind.TOKEN_REFUSED,
        EventKind.ADMIN_SIGN_IN_REFUSED,
        EventKind.ADMIN_REFUSED,
        EventKind.ENROLMENT_REFUSED,
        EventKind.API_REFUSED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are wanted: those that meet every part that is set; all of them where none is.

    An event has one of `kinds`, and began at `since` or later and before `until`. `principal` is a kind and an id, for
    the local operator and the server an empty one. Whoever asks for a delegation names its client as well where it is
    known: a client's events are found by an index, those of a delegation only among them.
    """

    kinds: frozenset[EventKind] = frozenset()
    decision: Decision | None = None
    reason: str = ""
    client_id: str = ""
    delegation_id: str = ""
    principal: tuple[PrincipalKind, str] | None = None
    subject_id: str = ""
    address: str = ""
    request_id: str = ""
    jti: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def only_refusals(self) -> bool:
        """Whether nothing but what was denied can meet it: a reason asked for is a refusal's."""
        return self.decision is Decision.DENIED or bool(self.reason) or (bool(self.kinds) and self.kinds <= REFUSALS)

    @property
    def only_acts(self) -> bool:
        """Whether no request for a token can meet it."""
        return bool(self.kinds) and self.kinds.isdisjoint(TOKEN_KINDS)

    def matches(self, event: Event) -> bool:
        """Whether the event meets it: the same as the statement that asks a database."""
        who = event.principal
        return (
            (not self.kinds or event.kind in self.kinds)
            and self.decision in {None, event.decision}
            and (not self.only_refusals or event.decision is Decision.DENIED)
            and self.reason in {"", event.reason}
            and self.client_id in {"", event.client.id if event.client else None}
            and (not self.delegation_id or any(each.id == self.delegation_id for each in event.delegations))
            and self.principal in {None, (who.kind, who.id) if who else None}
            and self.subject_id in {"", event.subject.id if event.subject else None}
            and self.address in {"", event.address}
            and self.request_id in {"", event.request_id}
            and self.jti in {"", event.jti}
            and (self.since is None or self.since <= event.at)
            and (self.until is None or event.at < self.until)
        )


EVERYTHING = EventFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPage:
    """Events of one page, and the cursor of the page behind it; None where the journal ends.

    A page can hold fewer events than were asked for, even none, and still have a `next`: looking for something rare
    goes only so far at once.
    """

    items: tuple[Recorded, ...]
    next: int | None
