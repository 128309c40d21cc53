"""The filter for audit log queries, and the page of events that a query returns. Pure."""

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
    """A filter for events. An event must match every field that is set; an empty filter matches all events.

    An event matches if its kind is in `kinds` and its time is at or after `since` and before `until`.
    `principal` is a kind and an id; the id is empty for the local operator and the server.
    With a `delegation_id`, also set the `client_id` of the delegation if the client is known.
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
        """Whether the filter can match only denied requests. Only refusals have a `reason`."""
        return self.decision is Decision.DENIED or bool(self.reason) or (bool(self.kinds) and self.kinds <= REFUSALS)

    @property
    def only_acts(self) -> bool:
        """Whether the filter excludes all token requests, so that only other events can match."""
        return bool(self.kinds) and self.kinds.isdisjoint(TOKEN_KINDS)

    def matches(self, event: Event) -> bool:
        """Whether the event matches the filter. The SQL query uses the same rules."""
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
class AuditLogPage:
    """The events of one page, and in `next` the cursor of the next page. `next` is None at the end of the audit log.

    A page can have fewer events than the limit, or none, and still have a `next`.
    The reason: one page searches only a bounded number of events.
    """

    items: tuple[Recorded, ...]
    next: int | None
