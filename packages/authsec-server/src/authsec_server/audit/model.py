"""The data model of an event. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from authsec_server.principal import Principal


class EventKind(StrEnum):
    """The kind of an event. Its text has the form `noun.verb`."""

    TOKEN_ISSUED = "token.issued"  # noqa: S105 - an event's name
    TOKEN_REFUSED = "token.refused"  # noqa: S105 - an event's name
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - an event's name
    CLIENT_CREATED = "client.created"
    CLIENT_DISABLED = "client.disabled"
    CLIENT_ENABLED = "client.enabled"
    CLIENT_EDITED = "client.edited"
    CLIENT_DELETED = "client.deleted"
    CLIENT_TOKENS_REVOKED = "client.tokens_revoked"
    PROOF_ADDED = "proof.added"
    PROOF_BOUND = "proof.bound"
    PROOF_ENROLLED = "proof.enrolled"
    PROOF_REMOVED = "proof.removed"
    ENROLMENT_MADE = "enrolment.made"
    ENROLMENT_TAKEN_BACK = "enrolment.taken_back"
    ENROLMENT_REFUSED = "enrolment.refused"
    PROOF_ROTATED = "proof.rotated"
    ROLE_CREATED = "role.created"
    ROLE_EDITED = "role.edited"
    ROLE_DELETED = "role.deleted"
    API_CREATED = "api.created"
    API_EDITED = "api.edited"
    API_DELETED = "api.deleted"
    API_CREDENTIAL_CREATED = "api.credential_created"
    API_CREDENTIAL_REVOKED = "api.credential_revoked"
    API_REFUSED = "api.refused"
    ISSUER_CREATED = "issuer.created"
    ISSUER_EDITED = "issuer.edited"
    ISSUER_DISABLED = "issuer.disabled"
    ISSUER_ENABLED = "issuer.enabled"
    ISSUER_DELETED = "issuer.deleted"
    ISSUER_TRIED = "issuer.tried"
    DELEGATION_CREATED = "delegation.created"
    DELEGATION_EDITED = "delegation.edited"
    DELEGATION_DISABLED = "delegation.disabled"
    DELEGATION_ENABLED = "delegation.enabled"
    DELEGATION_REVOKED = "delegation.revoked"
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_GONE = "key.gone"
    KEY_REVOKED = "key.revoked"
    FEED_KEY_CREATED = "feed_key.created"
    FEED_KEY_GONE = "feed_key.gone"
    SEAL_KEY_CREATED = "seal_key.created"
    SEAL_KEY_REPLACED = "seal_key.replaced"
    MASTER_KEY_CHANGED = "master_key.changed"
    EVENTS_DROPPED = "events.dropped"
    COUNTS_REBUILT = "counts.rebuilt"
    AUTHORITY_RESTORED = "authority.restored"
    ADMIN_KEY_CREATED = "admin_key.created"
    ADMIN_KEY_REVOKED = "admin_key.revoked"
    ADMIN_SIGN_IN = "admin.sign_in"
    ADMIN_SIGN_IN_REFUSED = "admin.sign_in_refused"
    ADMIN_REFUSED = "admin.refused"
    ADMINISTRATOR_INVITED = "administrator.invited"
    ADMINISTRATOR_SET_UP = "administrator.set_up"
    ADMINISTRATOR_CHANGED = "administrator.changed"
    ADMINISTRATOR_DISABLED = "administrator.disabled"
    ADMINISTRATOR_ENABLED = "administrator.enabled"
    ADMINISTRATOR_RESET = "administrator.reset"
    SECOND_FACTOR_ON = "administrator.second_factor_on"
    SECOND_FACTOR_OFF = "administrator.second_factor_off"
    SECOND_FACTOR_RESET = "administrator.second_factor_reset"
    RECOVERY_CODE_USED = "administrator.recovery_code_used"
    LINK_MADE = "administrator.link_made"
    SESSION_ENDED = "session.ended"
    EVENT_UNREADABLE = "event.unreadable"  # of no row: what a list shows in place of an event that it cannot read


EDITS = frozenset(
    {
        EventKind.CLIENT_EDITED,
        EventKind.ROLE_EDITED,
        EventKind.API_EDITED,
        EventKind.ISSUER_EDITED,
        EventKind.DELEGATION_EDITED,
        EventKind.ADMINISTRATOR_CHANGED,
    }
)
LISTING_ENDED = frozenset(
    {
        EventKind.ROLE_EDITED,
        EventKind.ISSUER_EDITED,
        EventKind.DELEGATION_EDITED,
        EventKind.PROOF_REMOVED,
    }
)
"""Kinds of events that may end tokens. The detail of an event lists the subjects of these tokens as `ended`."""


COUNTED = frozenset(
    {
        EventKind.TOKEN_REFUSED,
        EventKind.API_REFUSED,
        EventKind.ENROLMENT_REFUSED,
        EventKind.ADMIN_REFUSED,
        EventKind.ADMIN_SIGN_IN_REFUSED,
    }
)
"""Kinds of refusals that are counted: equal refusals of one minute become one event. The caller had no valid proof, or
lacked the permission."""


DIGESTS = "digests"
"""The name of the member of an event's `detail` that has the digests of the changed tables (`db.table_digests`)."""

SHORTENED = "shortened"
"""The member of a stored detail that says which members were cut (`audit.shortening`)."""

ALREADY = "already"
"""The member of a detail that says that the act changed nothing, according to the row: the thing was revoked or
disabled before, or had the values of the edit."""


def repeat_detail(*, is_repeat: bool) -> dict[str, bool]:
    """Return the detail for the event of an act that revokes, disables or edits a thing."""
    return {ALREADY: True} if is_repeat else {}


class Decision(StrEnum):
    """The result of a token request or of an administrator's sign-in."""

    GRANTED = "granted"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The id and the name of a thing at the time of the event. A later rename does not change the event."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of the audit log, before it is stored and gets a number.

    `detail` contains further values of this kind of event, as JSON types.
    No token, no key and no proof is ever in `detail`.
    An event identifies a token by `jti`, `kid` and the SHA-256 (hex) of the token's signing input.
    """

    at: datetime
    kind: EventKind
    request_id: str
    principal: Principal | None = None  # who acted; None for a request of an agent
    client: Named | None = None
    delegations: tuple[Named, ...] = ()
    roles: tuple[Named, ...] = ()
    subject: Named | None = None  # the object of the action, if it is not a client, delegation or role
    decision: Decision | None = None
    reason: str = ""
    address: str = ""
    authority_version: int | None = None
    jti: str = ""
    kid: str = ""
    token_sha256: str = ""
    expires_at: datetime | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[str, ...] = ()  # in a recorded event: the tables whose digests are in `detail`

    @property
    def version(self) -> int:
        """Return the authority version of a recorded event. Only counted refusals have none."""
        assert self.authority_version is not None
        return self.authority_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal that is not listed as its own event, but counted by address, client, reason and minute.

    Either the caller is unauthenticated, or the `principal` lacks the permission.
    `subject` is the rejected credential if known, for example a revoked admin key.
    Refusals that differ only in `apart` are counted separately, up to a limit.
    """

    kind: EventKind = EventKind.TOKEN_REFUSED
    address: str
    principal: Principal | None = None
    client: Named | None = None
    subject: Named | None = None
    reason: str
    apart: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The number of equal refusals, and the `request_id` and `detail` of the first one."""

    count: int
    request_id: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The seal of an event: the event's place in the sealed log, and its leaf hash (hex).

    A sealed export contains the same two values for each event.
    """

    place: int
    leaf: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event in the audit log. A `counted` refusal covers the whole minute that begins at its time.

    `seal` is None if the event is not sealed yet or the seal was not loaded.
    `leaf` is the hash (hex) of the event's current row in the database.
    """

    id: int
    event: Event
    count: int
    counted: bool = False
    seal: Seal | None = None
    leaf: str = field(default="", compare=False)

    @property
    def as_sealed(self) -> bool | None:
        """Whether the event matches its seal; None without a seal.

        The seal itself is not verified here. Only `authsec audit verify` does that.
        """
        return None if self.seal is None else self.seal.leaf == self.leaf
