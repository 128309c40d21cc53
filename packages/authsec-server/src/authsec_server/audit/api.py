"""The operation of the admin API that lists the events of the audit log.

Query parameters filter the events and set their order.
A parameter may contain a name, such as the slug of an agent. The functions of `Names` find the id for the name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from authsec_server import naming
from authsec_server.audit import service
from authsec_server.audit.filters import AuditLogPage, EventFilter
from authsec_server.audit.model import Decision, EventKind
from authsec_server.audit.views import EventShown, as_json
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.principal import Act, PrincipalKind
from authsec_server.suggest import nearest, told_nearest
from authsec_server.web.instants import parse_instant
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Parameter, declared, operation
from authsec_server.web.paging import PAGING, Page, read_numbered_page

PARAMETERS = (
    Parameter(name="client", description="Only events about this agent, by slug or client_id."),
    Parameter(name="delegation", description="Only events about this delegation, by slug or id."),
    Parameter(
        name="by",
        description="Only actions of this administrator (email or id), admin key (name or id), `local_operator` or "
        "`server`.",
    ),
    Parameter(
        name="kind",
        description="Only events of this kind, or of several kinds separated by commas. "
        "`client.` matches all kinds that begin with it.",
    ),
    Parameter(
        name="decision",
        description="Only events with this decision.",
        schema={"type": "string", "enum": [each.value for each in Decision]},
    ),
    Parameter(name="reason", description="Only refusals with this reason."),
    Parameter(name="address", description="Only events from this address."),
    Parameter(name="request_id", description="Only events of this request."),
    Parameter(name="jti", description="Only events about the token with this `jti`."),
    Parameter(
        name="since",
        description="Only events at or after this time (RFC 3339).",
        schema={"type": "string", "format": "date-time"},
    ),
    Parameter(
        name="until",
        description="Only events before this time (RFC 3339).",
        schema={"type": "string", "format": "date-time"},
    ),
)
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_WORD = re.compile(r"[A-Za-z0-9_-]{1,40}")  # the form of a request id and of a jti
_ADDRESS = re.compile(r"[0-9a-fA-F.:/]{1,45}")
_NAMELESS = {"local_operator": PrincipalKind.LOCAL_OPERATOR, "server": PrincipalKind.SERVER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Functions of other packages that look up ids by name. Each returns None for an unknown name.

    `client` returns the id for a slug. `delegation` returns the ids of the delegation and of its client.
    `person` takes an administrator's email, an admin key's name, or the id of either one.
    `which_client` and `which_delegation` return a text that suggests slugs for an unknown slug.
    `reasons` contains every reason for a refusal.
    """

    client: Callable[[Tx, str], str | None]
    delegation: Callable[[Tx, str], tuple[str, str] | None]
    person: Callable[[Tx, str], tuple[PrincipalKind, str] | None]
    which_client: Callable[[Tx, str], str]
    which_delegation: Callable[[Tx, str], str]
    reasons: frozenset[str]


def read_filter(tx: Tx, query: Mapping[str, str], names: Names) -> EventFilter:
    """Return the filter for these query parameters; a missing parameter adds no condition.

    Raises `Invalid` and names the wrong parameter.
    """
    delegation_id, client_id = _delegation(tx, query.get("delegation"), names)
    since, until = _instant("since", query), _instant("until", query)
    if since and until and since >= until:
        raise Invalid("until", "`until` must be after `since`.")
    return EventFilter(
        kinds=_kinds(query.get("kind")),
        decision=_decision(query.get("decision")),
        reason=_reason(query.get("reason"), names.reasons),
        client_id=_client(tx, query.get("client"), names) or client_id,
        delegation_id=delegation_id,
        principal=_person(tx, query.get("by"), names),
        address=_matching("address", query, _ADDRESS, "an address", "e.g. 192.0.2.7"),
        request_id=_matching("request_id", query, _WORD, "a request id", "Copy the request id from an answer: req_…"),
        jti=_matching("jti", query, _WORD, "a jti", "Copy the jti from the token, or from another event."),
        since=_bounded(since),
        until=_bounded(until),
    )


def _kinds(text: str | None) -> frozenset[EventKind]:
    """Read event kinds separated by commas. A prefix such as `client.` means every kind that begins with the prefix."""
    found: set[EventKind] = set()
    for part in [] if text is None else text.split(","):
        its = {kind for kind in EventKind if kind == part or (part.endswith(".") and kind.startswith(part))}
        if not its:
            raise Invalid(
                "kind",
                f"There is no event kind {naming.quoted(part)}.",
                _nearest_kind(part),
            )
        found |= its
    return frozenset(found)


def _nearest_kind(text: str) -> str:
    """Return a text that suggests the event kind nearest to an unknown kind.

    For a text without a point, such as `token`, suggest the prefix `token.`, which matches all kinds of token events.
    """
    nouns = {kind.partition(".")[0] for kind in EventKind}
    if noun := nearest(text.removesuffix("."), sorted(nouns)) if "." not in text.removesuffix(".") else "":
        return f"Did you mean `{noun}.`? It matches all kinds that begin with `{noun}.`"
    return told_nearest(text, EventKind, "e.g. token.refused, or `token.` for all kinds that begin with `token.`")


def _reason(text: str | None, known: frozenset[str]) -> str:
    if text is not None and text not in known:
        listed = f"Known reasons: {', '.join(sorted(known))}"
        raise Invalid("reason", f"No refusal has the reason {naming.quoted(text)}.", told_nearest(text, known, listed))
    return text or ""


def _decision(text: str | None) -> Decision | None:
    if text is not None and text not in set(Decision):
        raise Invalid("decision", "decision must be `granted` or `denied`.")
    return None if text is None else Decision(text)


def _client(tx: Tx, text: str | None, names: Names) -> str:
    """Return the id of the client with this slug or id.

    An id is returned without a lookup, because the audit log also has events of deleted clients.
    """
    if text is None or naming.is_uuid(text):
        return text or ""
    found = names.client(tx, text)
    if found is None:
        raise Invalid(
            "client",
            f"There is no agent or MCP server {naming.quoted(text)}.",
            f"{names.which_client(tx, text).rstrip('.')}. To search for a deleted client, use its "
            "client_id. Find the client_id with: authsec audit list --kind client.deleted --json",
        )
    return found


def _delegation(tx: Tx, text: str | None, names: Names) -> tuple[str, str]:
    """Return the id of the delegation and the id of its client. The client's id is empty if the client is unknown."""
    if text is None:
        return "", ""
    found = names.delegation(tx, text)
    if found is not None:
        return found
    if not naming.is_uuid(text):
        raise Invalid("delegation", f"There is no delegation {naming.quoted(text)}.", names.which_delegation(tx, text))
    return text, ""


def _person(tx: Tx, text: str | None, names: Names) -> tuple[PrincipalKind, str] | None:
    if text is None:
        return None
    if text in _NAMELESS:
        return _NAMELESS[text], ""
    found = names.person(tx, text) if text.isprintable() else None  # PostgreSQL refuses a text with a NUL character
    if found is None:
        raise Invalid(
            "by",
            "No administrator and no admin key has this name.",
            "Give the administrator's email, the admin key's name, an id, `local_operator` or `server`.",
        )
    return found


def _matching(name: str, query: Mapping[str, str], form: re.Pattern[str], what: str, remedy: str) -> str:
    value = query.get(name)
    if value is not None and not form.fullmatch(value):
        raise Invalid(name, f"This is not {what}.", remedy)
    return value or ""


def _instant(name: str, query: Mapping[str, str]) -> datetime | None:
    value = query.get(name)
    return None if value is None else parse_instant(name, value)


def _bounded(instant: datetime | None) -> datetime | None:
    """Limit the time to the years that an event can have.

    Later code adds a duration to the time, and a `datetime` cannot exceed the year 9999.
    """
    return None if instant is None else min(max(instant, _EARLIEST), _LATEST)


PATH = f"{API}/events"
_EVENT_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_ORDERS = ("newest", "oldest")
ORDER = Parameter(
    name="order", description="Order of the events.", schema={"type": "string", "enum": _ORDERS, "default": "newest"}
)


def operations(names: Names) -> list[AnyOperation]:
    """Return the operation that lists events. The cursor of a page is an event number."""

    @operation("GET", PATH, "listEvents", query=(*PAGING, ORDER, *PARAMETERS))
    async def page(call: Call[NoBody]) -> Page[EventShown]:
        """List events.

        A page may be short or empty although more events follow: each request searches only a part of the log.
        """
        number, limit = read_numbered_page(call.request, _EVENT_NUMBER)
        number = None if number is None else min(number, service.MAX_NUMBER)
        oldest_first = _oldest_first(call)
        given = {name: value for name in (each.name for each in PARAMETERS) if (value := call.query(name)) is not None}

        def load(tx: Tx, act: Act) -> AuditLogPage:
            wanted = read_filter(tx, given, names)
            if oldest_first:
                return service.page(tx, act.principal, wanted, after=number or 0, limit=limit)
            return service.page(tx, act.principal, wanted, before=number, limit=limit)

        found = await call.read(load)
        return {
            "items": [as_json(each) for each in found.items],
            "next": None if found.next is None else str(found.next),
        }

    return declared(page)


def _oldest_first(call: Call[NoBody]) -> bool:
    order = call.query("order")
    if order is not None and order not in _ORDERS:
        raise Invalid("order", "order must be `newest` or `oldest`.")
    return order == "oldest"
