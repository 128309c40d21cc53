"""Ending one token, by its `jti`: for operators, and for whoever holds it. What it rests on stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from authsec.verifier.checks import HIGHEST_LEEWAY

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Recorded
from authsec_server.db import Tx
from authsec_server.failures import Conflict, NotFound
from authsec_server.principal import Act, Role
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.tokens.endings import revoked
from authsec_server.web.instants import rfc3339

LEEWAY = timedelta(seconds=HIGHEST_LEEWAY)  # so much longer an API may take a token, for clocks that differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A token that has ended: as it was issued, and when it ended. `already`: before this was asked for."""

    issued: Event
    at: datetime
    already: bool


def token(tx: Tx, act: Act, jti: str) -> Recorded:
    """The event of a token that some API may still take. Raises `NotFound`, or `Conflict` for one that has."""
    act.principal.require(Role.VIEWER)
    found = audit.token_issued(tx, jti)
    if found is None:
        raise NotFound(
            "The journal knows no token with this jti. Nothing was ended.",  # not what was typed: it may be a secret
            "The jti is a claim of the token; `authsec audit list` shows it beside each that was issued.",
        )
    expires_at = found.event.expires_at
    if expires_at is None or expires_at + LEEWAY <= act.now:
        raise Conflict(
            f"This token expired at {rfc3339(expires_at)}, so there was nothing to end.",
            "To stop its agent from getting new ones, disable the agent or revoke its trust delegation.",
        )
    return found


def end(tx: Tx, act: Act, jti: str, *, because: str = "") -> Ended:
    """End the token, and say why if you like. Only inside a `change`. One that has ended already stays as it is.

    Raises `NotFound`, `Conflict` or `Invalid`.
    """
    act.principal.require(Role.OPERATOR)
    because = naming.text("reason", because)
    found = token(tx, act, jti)
    if ended_at := revoked(tx, [found]).get(found.id):
        return Ended(issued=found.event, at=ended_at, already=True)
    revocations.end(tx, SubjectKind.TOKEN, jti, act.now)
    audit.record_act(tx, act, EventKind.TOKEN_REVOKED, **_about(found.event, because))
    return Ended(issued=found.event, at=act.now, already=False)


def counts(tx: Tx, jti: str, now: datetime) -> Recorded | None:
    """The event of the token with this `jti`, if some API may take it: known, and not over by any clock, nor ended.

    Asks for no principal.
    """
    found = audit.token_issued(tx, jti)
    if found is None or (until := found.event.expires_at) is None or until + LEEWAY <= now or revoked(tx, [found]):
        return None
    return found


def give_up(tx: Tx, jti: str, now: datetime, *, request_id: str, address: str) -> None:
    """End the token, since whoever holds it asks for that. Only inside a `change`. One that is over stays as it is."""
    found = counts(tx, jti, now)
    if found is None:
        return
    revocations.end(tx, SubjectKind.TOKEN, jti, now)
    event = Event(
        at=now,
        kind=EventKind.TOKEN_REVOKED,
        request_id=request_id,
        address=address,
        authority_version=tx.version,
        **_about(found.event, ""),
    )
    audit.record(tx, event)


def _about(issued: Event, because: str) -> dict[str, Any]:
    """What the journal keeps. Not in `expires_at`, by which tokens that were issued are counted."""
    detail = {"expires_at": rfc3339(issued.expires_at)} | ({"because": because} if because else {})
    return {
        "client": issued.client,
        "delegations": issued.delegations,
        "roles": issued.roles,
        "jti": issued.jti,
        "kid": issued.kid,
        "detail": detail,
    }
