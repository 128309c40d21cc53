"""What the journal keeps of a token request: who, under which authority, how it ended. Never the token or the proof."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from authsec_server.attestation.model import Proved
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named, Refusal, Tally
from authsec_server.db import Tx
from authsec_server.delegations.model import title
from authsec_server.sources.model import TrustSource
from authsec_server.tokens.model import Denied, Facts, Granted, Reason
from authsec_server.tokens.request import TokenRequest
from authsec_server.web.context import limit_key

# A client in a tight loop, and whoever replays its assertions, are journalled by the minute, like a stranger.
_COUNTED = {Reason.RATE_LIMITED, Reason.ATTESTATION_INVALID}


def issued(
    tx: Tx,
    request: TokenRequest,
    granted: Granted,
    now: datetime,
    *,
    jti: str,
    kid: str,
    token_sha256: str,
    expires_at: datetime,
) -> None:
    """A token is about to be signed. From here on it counts as issued, whether or not its answer arrives."""
    audit.record(
        tx,
        Event(
            at=now,
            kind=EventKind.TOKEN_ISSUED,
            request_id=request.request_id,
            client=Named(id=granted.client.id, name=granted.client.name),
            delegations=tuple(
                Named(id=source.delegation.id, name=title(source.role.name, granted.client.name))
                for source in granted.sources
            ),
            roles=tuple(Named(id=source.role.id, name=source.role.name) for source in granted.sources),
            decision=Decision.GRANTED,
            address=request.address,
            authority_version=granted.version,
            jti=jti,
            kid=kid,
            token_sha256=token_sha256,
            expires_at=expires_at,
            detail={
                "actions": list(granted.actions),
                "audience": list(granted.audience),
                "attestation": granted.proved.method,
                "proof_id": granted.proved.proof_id,
            }
            | _enrolled(granted.proved)
            | _checked(granted.proved)
            | _vouching(granted.trust_source),
        ),
    )


def denied(tx: Tx, request: TokenRequest, facts: Facts, proved: Proved, outcome: Denied, now: datetime) -> None:
    """A request is refused after its proof: a row of its own, where it is the client's for certain."""
    if not proved.attested or outcome.reason in _COUNTED:
        count(tx, tally(outcome, request.address, request.request_id, facts), now)
        return
    name = facts.client.name if facts.client else ""
    audit.record(
        tx,
        Event(
            at=now,
            kind=EventKind.TOKEN_REFUSED,
            request_id=request.request_id,
            client=Named(id=request.client_id, name=name),
            decision=Decision.DENIED,
            reason=outcome.reason,
            address=request.address,
            authority_version=facts.version,
            detail=_asked(request)
            | {
                "attestation": proved.method,
                "details": outcome.details,
                "missing": list(outcome.missing),
                **({"unknown": list(outcome.unknown)} if outcome.unknown else {}),
                "smaller": list(outcome.smaller),
            }
            | _enrolled(proved)
            | _checked(proved)
            | _vouching(facts.trust_sources.get(proved.source_id or "")),
        ),
    )


def tally(denied: Denied, address: str, request_id: str, facts: Facts | None) -> Mapping[Refusal, Tally]:
    """One refusal of a caller that proved nothing, as it is counted.

    By what limits count by, and for clients that exist: neither the addresses of a subscriber's /64 nor made-up ids
    shall each have a row of their own. What differed where another workload came, and what was wrong with a token that
    a source signed, is told apart.
    """
    client = facts.client if facts else None
    named = Named(id=client.id, name=client.name) if client else None
    detail: dict[str, Any] = {}
    if denied.miss and facts:
        detail = {"miss": denied.miss.detail} | _vouching(facts.trust_sources.get(denied.miss.source_id))
    if denied.gone_from and facts:
        detail = {"gone": True} | _vouching(facts.trust_sources.get(denied.gone_from))
    if denied.failed and facts:
        detail = {"failed": denied.failed.sentence} | _vouching(facts.trust_sources.get(denied.failed.source_id))
    refusal = Refusal(address=limit_key(address), client=named, reason=denied.reason, apart=_apart(denied))
    return {refusal: Tally(count=1, request_id=request_id, detail=detail)}


def count(tx: Tx, tallies: Mapping[Refusal, Tally], now: datetime) -> None:
    """Add it to its minute's counted row."""
    audit.count_refusals(tx, tallies, now)


def _apart(denied: Denied) -> str:
    if denied.miss:
        return f"{denied.miss.proof_id} {denied.miss.sentence}"
    return f"{denied.failed.source_id} {denied.failed.sentence}" if denied.failed else ""


def _enrolled(proved: Proved) -> dict[str, Any]:
    """Whether it was proved from a machine that holds a key for some hours only."""
    return {"enrolled": True} if proved.enrolled else {}


def _checked(proved: Proved) -> dict[str, Any]:
    """How each selector was proved, and how a cluster's token was found good."""
    its: dict[str, Any] = {}
    if proved.proved_by:
        its["proved_by"] = {key: how.value for key, how in sorted(proved.proved_by.items())}
    if proved.validation:
        its["validation"] = proved.validation.value
    return its


def _vouching(source: TrustSource | None) -> dict[str, Any]:
    """Whose word it was, by the name that it had then."""
    return {"source": {"id": source.id, "name": source.name}} if source else {}


def _asked(request: TokenRequest) -> dict[str, Any]:
    return {
        "actions": None if request.actions is None else list(request.actions),
        "resources": list(request.resources),
    }
