"""The JSON form of an event in responses of the admin API."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # pydantic takes no other below Python 3.12

from authsec_server.audit.model import Named, Recorded
from authsec_server.principal import Principal
from authsec_server.web.instants import rfc3339


class NamedShown(TypedDict):
    """The id and the name of a thing at the time of the event."""

    id: str
    name: str


class PrincipalShown(TypedDict):
    """The principal who acted, with the principal's role at that time."""

    kind: str
    id: str
    name: str
    role: str


class EventShown(TypedDict):
    """An event, with ids and names as they were at the time of the event.

    `count` is above 1 only for refusals counted by the minute.
    `place` and `leaf` are those of the event's seal, or null without a seal.
    `as_sealed` is false if the event was changed after sealing.
    """

    id: int
    at: str
    kind: str
    count: int
    counted: bool
    request_id: str
    principal: PrincipalShown | None
    client: NamedShown | None
    delegations: list[NamedShown]
    roles: list[NamedShown]
    subject: NamedShown | None
    decision: str | None
    reason: str
    address: str
    authority_version: int | None
    jti: str
    kid: str
    token_sha256: str
    expires_at: str | None
    detail: dict[str, Any]
    tables: list[str]
    place: int | None
    leaf: str | None
    as_sealed: bool | None


def as_json(recorded: Recorded) -> EventShown:
    """Convert the event to the JSON of the admin API."""
    event = recorded.event
    return {
        "id": recorded.id,
        "at": rfc3339(event.at),
        "kind": event.kind,
        "count": recorded.count,
        "counted": recorded.counted,
        "request_id": event.request_id,
        "principal": _principal(event.principal),
        "client": None if event.client is None else _named(event.client),
        "delegations": [_named(each) for each in event.delegations],
        "roles": [_named(each) for each in event.roles],
        "subject": None if event.subject is None else _named(event.subject),
        "decision": event.decision,
        "reason": event.reason,
        "address": event.address,
        "authority_version": event.authority_version,
        "jti": event.jti,
        "kid": event.kid,
        "token_sha256": event.token_sha256,
        "expires_at": rfc3339(event.expires_at),
        "detail": dict(event.detail),
        "tables": list(event.tables),
        "place": recorded.seal.place if recorded.seal else None,
        "leaf": recorded.seal.leaf if recorded.seal else None,
        "as_sealed": recorded.as_sealed,
    }


def _named(named: Named) -> NamedShown:
    return {"id": named.id, "name": named.name}


def _principal(principal: Principal | None) -> PrincipalShown | None:
    if principal is None:
        return None
    return {
        "kind": principal.kind,
        "id": principal.id,
        "name": principal.name,
        "role": principal.role.name.lower(),
    }
