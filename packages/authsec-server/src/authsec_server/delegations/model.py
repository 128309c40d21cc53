"""Trust delegations: which client acts in which role, for which actions and how long. All functions are pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from authsec_server import naming
from authsec_server.audit.event_shape import MAX_NAMED
from authsec_server.clients.model import Client, Proof, ProofKind
from authsec_server.revisions import Editable, Fields
from authsec_server.roles.model import RoleDefinition


class TargetType(StrEnum):
    """The type of program that gets the authority. The administrator states the type."""

    AUTOGEN = "AutoGen AI agent"
    LANGCHAIN = "LangChain AI agent"
    CREWAI = "CrewAI AI agent"
    LLAMAINDEX = "LlamaIndex AI agent"
    OTHER = "Other AI agent"
    MCP_SERVER = "MCP server"


class DelegationState(StrEnum):
    """The state of a delegation. Only a `LIVE` delegation grants authority."""

    LIVE = "live"
    DISABLED = "disabled"
    ENDED = "ended"
    REVOKED = "revoked"


MAX_DELEGATIONS = MAX_NAMED
"""The limit of live and disabled delegations of one client. The event of a token lists each delegation that the token
uses."""
ENDED_STATES = frozenset({DelegationState.ENDED, DelegationState.REVOKED})
"""The final states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """A trust delegation as it is stored.

    `slug` becomes empty when a later delegation takes the slug. `actions` are sorted and never empty.
    `max_duration` is the longest lifetime of a token, in seconds. If `audiences` is empty, tokens have exactly
    one audience, the setting `default_audience`. Proofs of the kinds in `excluded_proofs` are not accepted for
    this delegation. With `require_dpop`, only tokens that are bound to a key are issued (RFC 9449).
    """

    id: str
    slug: str = ""
    role_id: str
    client_id: str
    target_type: TargetType
    actions: tuple[str, ...]
    max_duration: int
    audiences: tuple[str, ...] = ()
    excluded_proofs: tuple[ProofKind, ...] = ()
    require_dpop: bool = False
    ends_at: datetime | None = None
    enabled: bool = True
    revoked_at: datetime | None = None
    owner: str
    description: str
    created_at: datetime
    revision: int = 1
    changed_at: datetime | None = None
    changed_by: str = ""

    def accepts(self, kind: ProofKind) -> bool:
        """Return whether the delegation accepts this kind of proof.

        If key pairs are excluded, enrolled keys are excluded, too, because an enrolled key is a key pair. The OAuth
        token endpoint, which alone issues bound tokens, refuses unattested clients.
        """
        if self.require_dpop and kind is ProofKind.UNATTESTED:
            return False
        kinds = {kind, ProofKind.KEY_PAIR} if kind is ProofKind.ENROLLED_KEY else {kind}
        return kinds.isdisjoint(self.excluded_proofs)

    def accepts_any(self, proofs: Iterable[Proof]) -> bool:
        """Return whether the delegation accepts one of these proofs."""
        return any(self.accepts(each.kind) for each in proofs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The settings that apply to every delegation. `max_token_lifetime` is in seconds."""

    max_token_lifetime: int
    default_audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A request to create a delegation, not validated yet.

    `role` and `client` are ids or slugs. Set either `actions` or `all_actions`, which means the role's current
    actions. `max_duration` is in seconds. An audience is an API's slug or identifier. The default of `owner` is
    the principal that delegates. The default of `slug` is made from client and role.
    """

    role: str
    client: str
    target_type: str
    max_duration: int
    actions: tuple[str, ...] = ()
    all_actions: bool = False
    audiences: tuple[str, ...] = ()
    excluded_proofs: tuple[str, ...] = ()
    require_dpop: bool = False
    ends_at: datetime | None = None
    owner: str | None = None
    description: str = ""
    slug: str | None = None


DESCRIBED: Fields = {
    "owner": Editable(naming.name),
    "description": Editable(naming.text),
}
"""The fields that describe a delegation. No permission uses these fields. A new field also needs a column in
`store`, a JSON type in `api`, and inputs in the template `delegations/fields.html` and the command line. All
other code reads this list. The fields that grant authority are in `as_granted`, and `validation.granted_fields` has
their checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """A warning about a permitted delegation: a stable code, and a sentence for the person who delegates.

    If the warning is about another delegation, `delegation_id` is the id of that delegation.
    """

    code: str
    message: str
    delegation_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationParties:
    """A delegation with its role and its client, as read at one moment."""

    delegation: Delegation
    role: RoleDefinition
    client: Client

    def gap(self, now: datetime) -> GrantGap | None:
        """Return why the client gets no token by this delegation at `now`, or None if the client gets tokens."""
        return grant_gap(self.client, self.delegation, self.role, now)

    def grants_nothing(self, now: datetime) -> bool:
        """Return whether the delegation is live, and its own terms give the client no token."""
        gap = self.gap(now)
        return gap is not None and gap.is_of_delegation

    def reason(self, now: datetime) -> str:
        """Return a sentence about the gap. Empty if the client gets tokens by this delegation."""
        gap = self.gap(now)
        return f"The trust delegation {gap.shown(self.delegation, self.client, now)}." if gap else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedDelegation(DelegationParties):
    """A delegation with its role, its client, its state and its cautions, as read at one moment."""

    state: DelegationState
    cautions: tuple[Caution, ...]


class GrantGap(StrEnum):
    """The first reason, in this order, for which a delegation grants its client nothing now."""

    OVER = "over"  # the delegation has ended or was revoked
    DISABLED = "disabled"
    DORMANT = "dormant"  # the role no longer has the actions
    UNPROVED = "unproved"  # this authority can verify none of the client's proofs
    EXCLUDED = "excluded"  # the delegation accepts no proof of the client
    WAITING = "waiting"  # the delegation accepts only proofs that this authority cannot verify
    CLIENT_DISABLED = "client_disabled"

    @property
    def is_of_delegation(self) -> bool:
        """Whether a live delegation itself has the gap. Otherwise the state of delegation or client says it."""
        return self in _OF_DELEGATION

    def shown(self, delegation: Delegation, client: Client, now: datetime) -> str:
        """Return the reason as the predicate of a sentence about the delegation."""
        if self is GrantGap.EXCLUDED and delegation.require_dpop and client.unattested(now):
            return "requires DPoP, so it accepts no unattested client"
        return _GAPS[self]


_OF_DELEGATION = frozenset({GrantGap.DORMANT, GrantGap.EXCLUDED, GrantGap.WAITING})
_GAPS = {
    GrantGap.OVER: "is over",
    GrantGap.DISABLED: "is disabled",
    GrantGap.DORMANT: "allows only actions that its role no longer has",
    GrantGap.UNPROVED: "grants nothing until the client can authenticate",
    GrantGap.EXCLUDED: "accepts no proof of the client",
    GrantGap.WAITING: "accepts only proofs of the client that AuthSec cannot verify yet",
    GrantGap.CLIENT_DISABLED: "grants nothing until the client is enabled",
}


def grant_gap(client: Client, delegation: Delegation, role: RoleDefinition, now: datetime) -> GrantGap | None:
    """Return why the client gets no token by this delegation at `now`, or None if the client gets tokens.

    Every page, preview and dry run uses this rule. An unavailable trusted issuer is no reason here.
    """
    its, usable = state(delegation, now), client.usable_proofs(now)
    if its is not DelegationState.LIVE:
        return GrantGap.DISABLED if its is DelegationState.DISABLED else GrantGap.OVER
    if set(role.actions).isdisjoint(delegation.actions):
        return GrantGap.DORMANT
    if not usable:
        return GrantGap.UNPROVED
    if not delegation.accepts_any(usable):
        waits = delegation.accepts_any(each for each in client.proofs if each.is_valid(now))
        return GrantGap.WAITING if waits else GrantGap.EXCLUDED
    return None if client.enabled else GrantGap.CLIENT_DISABLED


def state(delegation: Delegation, now: datetime) -> DelegationState:
    """Return the state of the delegation at `now`.

    A disabled delegation that has ended or was revoked has its final state, not `DISABLED`.
    """
    if delegation.revoked_at is not None:
        return DelegationState.REVOKED
    if delegation.ends_at is not None and delegation.ends_at <= now:
        return DelegationState.ENDED
    return DelegationState.LIVE if delegation.enabled else DelegationState.DISABLED


def grants_the_same(one: Delegation, other: Delegation) -> bool:
    """Return whether both delegations grant the same authority to the same client.

    Owner and description are ignored.
    """
    return (one.role_id, one.client_id, as_granted(one)) == (other.role_id, other.client_id, as_granted(other))


def as_granted(delegation: Delegation) -> dict[str, object]:
    """Return the authority that the delegation grants to its client in its role, as JSON values."""
    return {
        "target_type": delegation.target_type.value,
        "actions": list(delegation.actions),
        "max_duration": delegation.max_duration,
        "audiences": list(delegation.audiences),
        "excluded_proofs": [kind.value for kind in delegation.excluded_proofs],
        "require_dpop": delegation.require_dpop,
        "ends_at": None if delegation.ends_at is None else delegation.ends_at.isoformat(),
    }


def live_twin(new: Delegation, held: Iterable[Delegation], now: datetime) -> Delegation | None:
    """Return the live delegation that grants exactly the same as `new`, or None.

    A second identical delegation has no use, and an administrator would have to revoke both.
    """
    return next(
        (each for each in held if grants_the_same(each, new) and state(each, now) is DelegationState.LIVE), None
    )


def title(role_name: str, client_name: str) -> str:
    """Return a display name for a delegation, for example for the audit log. A delegation has no stored name."""
    return f"{role_name} → {client_name}"


UNUSED_FOR = timedelta(days=30)


class DelegationSort(StrEnum):
    """The order of a list of delegations.

    `ENDS` sorts by end date; delegations without an end date come last.
    """

    NEWEST = "newest"
    OLDEST = "oldest"
    ENDS = "ends"


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationFilters:
    """Filters for a list of delegations. A delegation must match all filters; an empty or None filter is ignored.

    - `text` matches a part of the delegation's slug, or a part of the name or slug of its role or client. `text`
      also matches the beginning of an id.
    - `ends_before` matches delegations with an end date before that time.
    - `unused_since` matches delegations that were created before that time and never used for a token.
    - `audience` matches delegations that name the audience. Delegations that name no audience never match, not
      even the default audience.
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


def unused(now: datetime) -> DelegationFilters:
    """Return filters for live delegations that are older than `UNUSED_FOR` and were never used.

    Such delegations are probably not needed.
    """
    return DelegationFilters(state=DelegationState.LIVE, unused_since=now - UNUSED_FOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """The numbers of delegations by state. `over` is the number of ended and revoked delegations."""

    live: int = 0
    disabled: int = 0
    over: int = 0
