"""Trust delegations: which client acts in which role, for which actions and how long. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from authsec_server.audit.shape import MAX_NAMED
from authsec_server.clients.model import Client, ProofKind
from authsec_server.roles.model import RoleDefinition


class TargetType(StrEnum):
    """What kind of program the authority is meant for, as the administrator said it."""

    AUTOGEN = "AutoGen AI agent"
    LANGCHAIN = "LangChain AI agent"
    CREWAI = "CrewAI AI agent"
    LLAMAINDEX = "LlamaIndex AI agent"
    OTHER = "Other AI agent"
    MCP_SERVER = "MCP server"


class DelegationState(StrEnum):
    """Only a `LIVE` delegation gives anything."""

    LIVE = "live"
    DISABLED = "disabled"
    ENDED = "ended"
    REVOKED = "revoked"


MAX_DELEGATIONS = MAX_NAMED
"""Of one client, without those that are over: the event of a token names each that the token draws on."""
OVER = frozenset({DelegationState.ENDED, DelegationState.REVOKED})
"""The states that are for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """A trust delegation as it is stored.

    `slug` is empty once a later one has taken it, see `slugs`. `actions` are sorted and never empty. `max_duration` is
    in seconds. No `audiences` means exactly the setting `default_audience`. Proofs of the kinds `excluded_proofs` do
    not suffice for it.
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
        """Whether a proof of that kind suffices. Whoever excluded key pairs wants no enrolled keys: they are such."""
        kinds = {kind, ProofKind.KEY_PAIR} if kind is ProofKind.ENROLLED_KEY else {kind}
        return kinds.isdisjoint(self.excluded_proofs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the settings say about every delegation. `max_token_lifetime` is in seconds."""

    max_token_lifetime: int
    default_audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is asked for when authority is delegated; nothing of it has been checked yet.

    `role` and `client` are ids or slugs. Either `actions` or `all_actions`, which stands for the actions that the role
    has at this moment. `max_duration` is in seconds. An audience is an API's slug or its identifier. Without `owner` it
    is who delegates; without `slug`, one is made of client and role.
    """

    role: str
    client: str
    target_type: str
    max_duration: int
    actions: tuple[str, ...] = ()
    all_actions: bool = False
    audiences: tuple[str, ...] = ()
    excluded_proofs: tuple[str, ...] = ()
    ends_at: datetime | None = None
    owner: str | None = None
    description: str = ""
    slug: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationEdit:
    """What a delegation should be from now on; nothing of it has been checked yet. Its role and client are fixed.

    The fields mean what they mean in `Proposal`. Without `slug` it keeps the one it has.
    """

    target_type: str
    max_duration: int
    actions: tuple[str, ...] = ()
    all_actions: bool = False
    audiences: tuple[str, ...] = ()
    excluded_proofs: tuple[str, ...] = ()
    ends_at: datetime | None = None
    owner: str
    description: str = ""
    slug: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """What whoever delegates should know, though it is allowed: a stable code, and a sentence for the person.

    `delegation_id` is that of the other delegation that it is about, where it is about one.
    """

    code: str
    message: str
    delegation_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A delegation with the role and the client that it ties together, as they are at one moment."""

    delegation: Delegation
    role: RoleDefinition
    client: Client
    state: DelegationState
    cautions: tuple[Caution, ...]


def state(delegation: Delegation, now: datetime) -> DelegationState:
    """What the delegation is at `now`. What is for good outweighs what can be turned back on."""
    if delegation.revoked_at is not None:
        return DelegationState.REVOKED
    if delegation.ends_at is not None and delegation.ends_at <= now:
        return DelegationState.ENDED
    return DelegationState.LIVE if delegation.enabled else DelegationState.DISABLED


def grants_the_same(one: Delegation, other: Delegation) -> bool:
    """Whether they give the same authority to the same client; who owns and describes them makes no difference."""
    return _granted(one) == _granted(other)


def live_twin(new: Delegation, held: Iterable[Delegation], now: datetime) -> Delegation | None:
    """The live one among those held that grants the very same; it makes a second one pointless, and hard to end."""
    return next(
        (each for each in held if grants_the_same(each, new) and state(each, now) is DelegationState.LIVE), None
    )


def _granted(its: Delegation) -> tuple[object, ...]:
    return (
        its.role_id,
        its.client_id,
        its.target_type,
        its.actions,
        its.max_duration,
        its.audiences,
        its.excluded_proofs,
        its.ends_at,
    )


def title(role_name: str, client_name: str) -> str:
    """What a delegation is called where a name is wanted, such as in the audit trail: it has none of its own."""
    return f"{role_name} → {client_name}"


UNUSED_FOR = timedelta(days=30)


class DelegationSort(StrEnum):
    """The order of a list. By end: what ends first, and last what does not end by itself."""

    NEWEST = "newest"
    OLDEST = "oldest"
    ENDS = "ends"


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationFilters:
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


def unused(now: datetime) -> DelegationFilters:
    """What is live, was for `UNUSED_FOR`, and was never used: who needs it not should not have it."""
    return DelegationFilters(state=DelegationState.LIVE, unused_since=now - UNUSED_FOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """How many delegations there are, by what they are now."""

    live: int = 0
    disabled: int = 0
    over: int = 0
