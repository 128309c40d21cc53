"""The audit log filter in a query string. The page, the stream and the downloads all use this filter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from authsec_server import naming
from authsec_server.accounts.model.admin_keys import KeyRefusal
from authsec_server.accounts.model.sessions import SignInRefusal
from authsec_server.accounts.oidc.identity import OpenIdRefusal
from authsec_server.apis.model import CredentialRefusal
from authsec_server.audit.filters import EVERYTHING, EventFilter
from authsec_server.audit.model import EventKind
from authsec_server.clients import search
from authsec_server.clients import service as clients
from authsec_server.clients.enrolment import EnrolmentRefusal
from authsec_server.console.forms import Form, pasted_id
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.failures import Invalid, NotPermitted
from authsec_server.principal import PrincipalKind
from authsec_server.tokens.refusal import Reason

_OF_KEYS = ("key.", "feed_key.", "seal_key.", "master_key.")
GROUPS: Mapping[str, tuple[str, frozenset[EventKind]]] = {
    "issued": ("Tokens issued", frozenset({EventKind.TOKEN_ISSUED})),
    "refused": ("Tokens refused", frozenset({EventKind.TOKEN_REFUSED})),
    "revoked": ("Tokens revoked one by one", frozenset({EventKind.TOKEN_REVOKED})),
    "clients": (
        "Clients and proofs",
        frozenset(k for k in EventKind if k.startswith(("client.", "proof.", "enrolment."))),
    ),
    "delegations": ("Trust delegations", frozenset(k for k in EventKind if k.startswith("delegation."))),
    "roles": ("Roles", frozenset(k for k in EventKind if k.startswith("role."))),
    "apis": ("APIs", frozenset(k for k in EventKind if k.startswith("api."))),
    "issuers": ("Trusted issuers", frozenset(k for k in EventKind if k.startswith("issuer."))),
    "keys": ("Signing keys", frozenset(kind for kind in EventKind if kind.startswith(_OF_KEYS))),
    "trail": (
        "Audit log",
        frozenset(k for k in EventKind if k.startswith(("event", "counts.", "digests.", "authority."))),
    ),
    "administration": (
        "Administrators and admin keys",
        frozenset(k for k in EventKind if k.startswith(("admin", "session."))),
    ),
}
"""Groups of event kinds that people search for. Together, the groups have all kinds."""

_TOKEN_REASONS = tuple(map(str, Reason))
_OTHER_REASONS = {
    *EnrolmentRefusal,
    *CredentialRefusal,
    *KeyRefusal,
    *SignInRefusal,
    *OpenIdRefusal,
    NotPermitted.reason,
}
REASONS: Mapping[str, tuple[str, ...]] = {
    "Token requests": _TOKEN_REASONS,
    "Other refusals": tuple(sorted(map(str, _OTHER_REASONS.difference(_TOKEN_REASONS)))),
}
"""All reasons for a refusal. Those of token requests are in the order of the endpoint's checks."""

RANGES: Mapping[str, tuple[str, timedelta]] = {
    "hour": ("Hour", timedelta(hours=1)),
    "day": ("24 hours", timedelta(hours=24)),
    "week": ("7 days", timedelta(days=7)),
    "month": ("30 days", timedelta(days=30)),
}
"""The ranges that end now. The range `CUSTOM` has typed ends."""
CUSTOM = "custom"
_ENDS = ("since", "until")
_EXAMPLE = "e.g. 2026-11-25 or 2026-11-25T09:00"

_CODE = re.compile(r"[a-z0-9_]{1,40}")
_MARK = re.compile(r"[A-Za-z0-9_-]{1,40}")
_ADDRESS = re.compile(r"[0-9a-fA-F.:/]{1,45}")
_YEARS = range(1970, 3000)  # far from the limits of `datetime`


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityQuery:
    """The audit log filter, and the texts that a person typed into the form's fields."""

    wanted: EventFilter
    typed: Mapping[str, str]

    @property
    def anything(self) -> bool:
        """Whether the filter leaves any event out."""
        return self.wanted != EVERYTHING

    @property
    def range(self) -> str:
        """The chosen range: a key of `RANGES`, `CUSTOM`, or "" for all events."""
        return self.typed["range"] or (CUSTOM if any(self.typed[end] for end in _ENDS) else "")

    @property
    def counted(self) -> bool:
        """Whether the chart can show this filter.

        The chart uses hourly counts, which exist only by client and by reason of refusal.
        """
        its = self.wanted
        known = EventFilter(
            kinds=its.kinds, client_id=its.client_id, reason=its.reason, since=its.since, until=its.until
        )
        return its == known and not its.only_acts


FIELDS = ("what", "client", "delegation", "by", "reason", "address", "request_id", "jti", "range", *_ENDS)


def read(tx: Tx, query: Form, now: datetime) -> ActivityQuery:
    """Return the audit log filter of the query string. Raises `Invalid`, which names the wrong field."""
    typed = {name: query.text(name) for name in FIELDS}
    typed |= {name: pasted_id(typed[name]) for name in ("request_id", "jti")}
    delegation_id, client_of_delegation = _delegation(tx, typed["delegation"])
    client_id = _client(tx, typed["client"])
    wanted = EventFilter(
        kinds=_kinds(typed["what"]),
        client_id=client_id or client_of_delegation,
        delegation_id=delegation_id,
        principal=_principal(typed["by"]),
        reason=_matching("reason", typed["reason"], _CODE, "e.g. attestation_required"),
        address=_matching("address", typed["address"], _ADDRESS, "e.g. 192.0.2.7"),
        request_id=_matching("request_id", typed["request_id"], _MARK, "e.g. req_…"),
        jti=_matching("jti", typed["jti"], _MARK, "The token's claim jti."),
        since=_start(typed, now) or _instant("since", typed["since"]),
        until=_instant("until", typed["until"], days=1),
    )
    if wanted.since and wanted.until and wanted.since >= wanted.until:
        raise Invalid("until", "To must not be before From.", "Choose a later time, or leave To empty.")
    return ActivityQuery(wanted=wanted, typed=typed | {"client": _client_text(tx, typed["client"])})


def _kinds(what: str) -> frozenset[EventKind]:
    if not what:
        return frozenset()
    if what in GROUPS:
        return GROUPS[what][1]
    if what in set(EventKind):
        return frozenset({EventKind(what)})
    raise Invalid("what", "There is no such kind of event.", "Choose a kind from the list.")


def _client(tx: Tx, text: str) -> str:
    """Return the id of the client with this id, slug or name.

    An id is returned without a check, because the audit log also has events of deleted clients. Raises
    `Invalid` if the text matches no client, or several.
    """
    if not text or naming.is_uuid(text):
        return text
    client = clients.find(tx, text)
    ids = [client.id] if client else search.ids_of_name(tx, text)
    if len(ids) > 1:
        raise Invalid("client", "Several clients have this name.", "Enter the slug or the Client ID.")
    if not ids:
        raise Invalid(
            "client", "No client has this name, slug or Client ID.", "To find a deleted client, enter its Client ID."
        )
    return ids[0]


def _client_text(tx: Tx, text: str) -> str:
    """Return the name of the client if the text is its id: the field shows the text, and must find the same client.

    If the name finds no client or another one, the slug is returned. The id of a deleted client stays an id.
    """
    client = clients.find(tx, text) if naming.is_uuid(text) else None
    if client is None:
        return text
    try:
        found = _client(tx, client.name)
    except Invalid:
        found = ""
    return client.name if found == client.id else client.slug


def _delegation(tx: Tx, text: str) -> tuple[str, str]:
    """Return the id of the delegation and the id of its client. The client's id makes the search fast.

    If the delegation is unknown, the client's id is empty. Raises `Invalid` if the text is not an id.
    """
    if not text:
        return "", ""
    if not naming.is_uuid(text):
        raise Invalid(
            "delegation", "This is not the id of a trust delegation.", "Copy the id from the delegation's page."
        )
    return text, delegations.client_of(tx, text) or ""


def _principal(text: str) -> tuple[PrincipalKind, str] | None:
    """Parse `administrator:<id>`, `admin_key:<id>`, `local_operator:` or `server:`. Raises `Invalid`.

    Links on other pages contain such texts.
    """
    if not text:
        return None
    kind, _, id_ = text.partition(":")
    if kind not in set(PrincipalKind) or (id_ and not naming.is_uuid(id_)):
        raise Invalid(
            "by", "This is not an administrator or an admin key.", "Follow the link on an administrator's page."
        )
    return PrincipalKind(kind), id_


def _matching(field: str, text: str, form: re.Pattern[str], example: str) -> str:
    if text and not form.fullmatch(text):
        raise Invalid(field, f"This is not a valid {field.replace('_', ' ')}.", example)
    return text


def _start(typed: Mapping[str, str], now: datetime) -> datetime | None:
    """Return the start of a range that ends now. Raises `Invalid`."""
    if typed["range"] in {"", CUSTOM}:
        return None
    if typed["range"] not in RANGES:
        raise Invalid("range", "There is no such range.", "Choose a range from the list.")
    if any(typed[end] for end in _ENDS):
        raise Invalid("range", "From and To need the range Custom.", "Choose Custom, or leave From and To empty.")
    return now - RANGES[typed["range"]][1]


def _instant(field: str, text: str, *, days: int = 0) -> datetime | None:
    """Parse a date or an exact instant. A date becomes 00:00 UTC of that day, plus `days`.

    Raises `Invalid`.
    """
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(field, "This is not a date.", _EXAMPLE) from None
    if instant.year not in _YEARS:
        raise Invalid(field, "The audit log has no events from that year.", _EXAMPLE)
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return instant + timedelta(days=days) if len(text) <= len("2026-11-25") else instant
