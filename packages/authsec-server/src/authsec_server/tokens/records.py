"""Record a refused token request in the audit log: as its own event, or in the count of equal refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from authsec_server.attestation.model import Proved, Unassigned
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named, Refusal, Tally
from authsec_server.db import Tx
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.tokens.decision import Facts
from authsec_server.tokens.refusal import Denied, Reason
from authsec_server.tokens.request import TokenRequest
from authsec_server.web.request_context import limit_key

# Requests of a client in a tight loop and replayed assertions are counted by the minute, as those of strangers are.
_INVALID = {Reason.ATTESTATION_INVALID, Reason.UNAVAILABLE}  # of a token that could not be verified
_WITHOUT_CLIENT = {Reason.INVALID_DPOP_PROOF, Reason.ATTESTATION_INVALID}  # checked before a client is loaded
_COUNTED = {Reason.RATE_LIMITED, Reason.ATTESTATION_INVALID, Reason.INVALID_DPOP_PROOF}


@dataclass(slots=True)
class Refusals:
    """The refusals of one transaction. Refusals are counted together at the end, so that rows are locked in one order.

    Two transactions that lock the same rows in another order would wait for each other.
    """

    tallies: dict[Refusal, Tally] = field(default_factory=dict)

    def add(self, tx: Tx, request: TokenRequest, facts: Facts, proved: Proved, outcome: Denied, now: datetime) -> None:
        """Record the refusal of an authenticated request in the audit log, or count it when `count` is called.

        The refusal gets its own event only if the client has certainly sent the request. Otherwise the refusal is
        only counted. Rate-limited requests and invalid proofs are only counted, too.
        """
        if proved.attested and outcome.reason not in _COUNTED:
            audit.record(tx, _event_of(request, facts, proved, outcome, now))
            return
        for refusal, tally in tally_refusal(outcome, request.address, request.request_id, facts).items():
            known = self.tallies.get(refusal)
            self.tallies[refusal] = tally if known is None else replace(known, count=known.count + tally.count)

    def count(self, tx: Tx, now: datetime) -> None:
        """Add the counted refusals to the audit log's counters for the current minute."""
        if self.tallies:
            count_refusals(tx, self.tallies, now)


def _event_of(request: TokenRequest, facts: Facts, proved: Proved, outcome: Denied, now: datetime) -> Event:
    return Event(
        at=now,
        kind=EventKind.TOKEN_REFUSED,
        request_id=request.request_id,
        client=Named(id=request.client_id, name=facts.client.name if facts.client else ""),
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
            **({"withheld": list(outcome.withheld)} if outcome.withheld else {}),
            "smaller": list(outcome.smaller),
            **({"algorithms": {**outcome.algorithms}} if outcome.algorithms else {}),
            **({"needs_dpop": True} if outcome.needs_dpop else {}),
        }
        | details_of_proof(proved, facts.trusted_issuers.get(proved.trusted_issuer_id or "")),
    )


def tally_refusal(denied: Denied, address: str, request_id: str, facts: Facts | None) -> Mapping[Refusal, Tally]:
    """Return the counter entry for one refusal of an unauthenticated caller.

    Each network and each existing client has its own counter. The network is the same as for rate limits. So
    the many addresses of one /64, or invented client ids, do not create many rows. Refusals with different
    mismatches, or with different errors of a trusted issuer's token, are counted separately.
    """
    client = facts.client if facts else None
    named = Named(id=client.id, name=client.name) if client else None
    detail: dict[str, Any] = {}
    if denied.miss and facts:
        detail = {"miss": denied.miss.detail} | _issuer(facts.trusted_issuers.get(denied.miss.trusted_issuer_id))
    if denied.deleted_in_cluster and facts:
        detail = {"gone": True} | _issuer(facts.trusted_issuers.get(denied.deleted_in_cluster))
    if denied.failed and facts:
        detail = {"failed": denied.failed.sentence} | _issuer(
            facts.trusted_issuers.get(denied.failed.trusted_issuer_id)
        )
    elif denied.failed and denied.reason in _WITHOUT_CLIENT and not denied.failed.trusted_issuer_id:
        detail = {"failed": denied.failed.sentence}
    if denied.unassigned:
        detail = _unassigned(denied.unassigned, is_valid=denied.reason not in _INVALID)
    refusal = Refusal(address=limit_key(address), client=named, reason=denied.reason, apart=_apart(denied))
    return {refusal: Tally(count=1, request_id=request_id, detail=detail)}


def count_refusals(tx: Tx, tallies: Mapping[Refusal, Tally], now: datetime) -> None:
    """Add the refusals to the audit log's counters for the current minute."""
    audit.count_refusals(tx, tallies, now)


def _unassigned(unassigned: Unassigned, *, is_valid: bool) -> dict[str, Any]:
    """Return the event detail about a workload's token that is not the token of one client."""
    issuer, said = unassigned.trusted_issuer, unassigned.sentence
    detail: dict[str, Any] = {"miss": {"sentence": said, "selectors": []}} if is_valid else {"failed": said}
    if unassigned.clients:
        detail["clients"] = [{"id": client.id, "name": client.name} for client in unassigned.clients]
    return detail | {"trusted_issuer": {"id": issuer.id, "name": issuer.name}}


def _apart(denied: Denied) -> str:
    if denied.unassigned:
        return f"{denied.unassigned.trusted_issuer.id} {denied.unassigned.sentence}"
    if denied.miss:
        return f"{denied.miss.proof_id} {denied.miss.sentence}"
    return f"{denied.failed.trusted_issuer_id} {denied.failed.sentence}" if denied.failed else ""


def _enrolled(proved: Proved) -> dict[str, Any]:
    """Return the event detail for a proof with an enrolled key. Such a key is valid for some hours only."""
    return {"enrolled": True} if proved.enrolled else {}


def _checked(proved: Proved) -> dict[str, Any]:
    """Return event details: how each selector was proved, and how a cluster's token was validated."""
    its: dict[str, Any] = {}
    if proved.proved_by:
        its["proved_by"] = {key: how.value for key, how in sorted(proved.proved_by.items())}
    if proved.validation:
        its["validation"] = proved.validation.value
    return its


def details_of_proof(proved: Proved, trusted_issuer: TrustedIssuer | None) -> dict[str, Any]:
    """Return the event details about the proof: whether it was an enrolled key, how it was checked, and its issuer."""
    return _enrolled(proved) | _checked(proved) | _issuer(trusted_issuer)


def _issuer(trusted_issuer: TrustedIssuer | None) -> dict[str, Any]:
    """Return the event detail with the trusted issuer's id, and its name at this time."""
    return {"trusted_issuer": {"id": trusted_issuer.id, "name": trusted_issuer.name}} if trusted_issuer else {}


def _asked(request: TokenRequest) -> dict[str, Any]:
    return {
        "actions": None if request.actions is None else list(request.actions),
        "resources": list(request.resources),
    }
