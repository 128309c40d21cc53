"""The JSON of a trust delegation in the admin API."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.clients.model import ProofKind
from authsec_server.delegations.model import DESCRIBED, DelegationState, ResolvedDelegation, TargetType
from authsec_server.delegations.shapes import DelegationDescription
from authsec_server.revisions import plain
from authsec_server.web.instants import rfc3339


class ItsRole(TypedDict):
    """The role of a delegation."""

    id: str
    slug: str
    name: str


class ItsClient(TypedDict):
    """The client of a delegation."""

    id: str
    slug: str
    name: str
    unattested: bool


class Warned(TypedDict):
    """A warning for the person who delegates: a stable code, and a sentence."""

    code: str
    message: str


class DelegationShown(DelegationDescription):
    """A delegation with its role and client. `slug` is null if a later delegation has taken the slug."""

    id: str
    slug: str | None
    role: ItsRole
    client: ItsClient
    target_type: TargetType
    actions: list[str]
    max_duration: int
    audiences: list[str]
    excluded_proofs: list[ProofKind]
    ends_at: str | None
    state: DelegationState
    revoked_at: str | None
    created_at: str
    revision: int
    changed_at: str | None
    changed_by: str | None
    warnings: list[Warned]


def as_json(resolved: ResolvedDelegation, now: datetime) -> DelegationShown:
    """Return the delegation as the admin API shows it."""
    delegation, role, client = resolved.delegation, resolved.role, resolved.client
    described = cast("DelegationDescription", plain(DESCRIBED, delegation))
    return {
        "id": delegation.id,
        "slug": delegation.slug or None,
        "role": {"id": role.id, "slug": role.slug, "name": role.name},
        "client": {
            "id": client.id,
            "slug": client.slug,
            "name": client.name,
            "unattested": client.unattested(now),
        },
        "target_type": delegation.target_type,
        "actions": list(delegation.actions),
        "max_duration": delegation.max_duration,
        "audiences": list(delegation.audiences),
        "excluded_proofs": list(delegation.excluded_proofs),
        "ends_at": rfc3339(delegation.ends_at),
        "state": resolved.state,
        "revoked_at": rfc3339(delegation.revoked_at),
        **described,
        "created_at": rfc3339(delegation.created_at),
        "revision": delegation.revision,
        "changed_at": rfc3339(delegation.changed_at),
        "changed_by": delegation.changed_by or None,
        "warnings": [{"code": each.code, "message": each.message} for each in resolved.cautions],
    }
