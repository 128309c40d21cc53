"""Issue delegation tokens: decide, record, sign.

Every token request that is granted takes all three steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from authsec.jose import assemble, signing_input

from authsec_server.apis import service as apis
from authsec_server.attestation import service as attestation
from authsec_server.attestation.model import Proved, Refused, Unchecked
from authsec_server.attestation.workloads import Workloads
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named, Refusal, Tally
from authsec_server.clients import service as clients
from authsec_server.db import Database, Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import title
from authsec_server.failures import Unavailable
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.keys import service as keys
from authsec_server.keys.signer import Signer
from authsec_server.roles import service as roles
from authsec_server.tokens.claims import claims, header
from authsec_server.tokens.decision import (
    Denied,
    Facts,
    Granted,
    GrantedAuthority,
    Issuance,
    LifetimeLimits,
    Reason,
    decide,
    too_often,
    with_unknown,
)
from authsec_server.tokens.request import TokenRequest
from authsec_server.web.request_context import limit_key
from authsec_server.web.throttle import Limiter

# A client in a tight loop, and whoever replays its assertions, are recorded by the minute, like a stranger.
_COUNTED = {Reason.RATE_LIMITED, Reason.ATTESTATION_INVALID}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A signed delegation token and its claims."""

    token: str
    claims: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    """A token that is recorded in the audit log, but not signed yet."""

    kid: str
    signing_input: bytes
    claims: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationTokens:
    """Issues delegation tokens. A call blocks its thread. `Unavailable` means that no token was issued."""

    database: Database
    signer: Signer
    workloads: Workloads
    limits: LifetimeLimits
    rates: TokenLimits
    issuer: str
    trust_domain: str
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes]

    @property
    def issuance(self) -> Issuance:
        """Return the settings that apply to every token. Previews use these settings."""
        return Issuance(issuer=self.issuer, trust_domain=self.trust_domain, limits=self.limits)

    def issue(self, request: TokenRequest) -> Issued | Denied:
        """Issue the token, or return the refusal. The result is in the audit log before this method returns."""
        if wait := self.rates.charge_address(request.address):
            return self.refuse(too_often(wait), request.address, request.request_id)
        facts = self.database.read(lambda tx: load_facts(tx, request))
        try:
            proved = self._prove(facts, request)
        except Unchecked as error:
            denied = Denied(reason=Reason.UNAVAILABLE, failed=error.failed)
            with suppress(Unavailable):  # where that cannot be recorded either, the answer is the same
                self.refuse(denied, request.address, request.request_id, facts=facts)
            raise
        if isinstance(proved, Denied):
            return self.refuse(proved, request.address, request.request_id, facts=facts)
        outcome = self.database.record(lambda tx: self._decide_and_record(tx, request, facts, proved))
        return outcome if isinstance(outcome, Denied) else self._sign(outcome)

    def refuse(self, denied: Denied, address: str, request_id: str, *, facts: Facts | None = None) -> Denied:
        """Count the refusal of an unauthenticated caller in the audit log, and return the refusal."""
        tallies = tally_refusal(denied, address, request_id, facts)
        self.database.append(lambda tx: count_refusals(tx, tallies, self.now()))
        return denied

    def _prove(self, facts: Facts, request: TokenRequest) -> Proved | Denied:
        if facts.client is None:
            return Denied(
                reason=Reason.CLIENT_NOT_FOUND, details="Check AUTHSEC_AGENT_CLIENT_ID against the list of clients."
            )
        proved = attestation.attest(
            facts.client,
            facts.trusted_issuers,
            request.evidence,
            workloads=self.workloads,
            issuer=self.issuer,
            now=self.now(),
        )
        if isinstance(proved, Refused):
            return Denied(
                reason=Reason(proved.reason),
                details=proved.details,
                miss=proved.miss,
                deleted_in_cluster=proved.deleted_in_cluster,
                failed=proved.failed,
            )
        return proved

    def _decide_and_record(self, tx: Tx, request: TokenRequest, facts: Facts, proved: Proved) -> _Recorded | Denied:
        """Decide about the request, and record the result, under the shared authority lock.

        The lock keeps the data of the decision unchanged until the record is durable.
        """
        now = self.now()  # after the lock: it may have been waited for
        if tx.version != facts.version:
            facts = load_facts(tx, request)
        outcome = self._admit(tx, request, proved) or decide(
            facts, proved, request.actions, request.resources, self.limits, now
        )
        if isinstance(outcome, Denied):
            outcome = explained(tx, outcome)
            record_refused(tx, request, facts, proved, outcome, now)
            return outcome
        return self._record(tx, request, outcome, now)

    def _admit(self, tx: Tx, request: TokenRequest, proved: Proved) -> Denied | None:
        """Use up evidence that is valid only once, and charge the client's rate limit.

        The evidence comes first. Otherwise an attacker could use up the client's limit by replaying old evidence.
        """
        if proved.single_use and not attestation.use_once(tx, request.client_id, proved.single_use):
            return Denied(
                reason=Reason.ATTESTATION_INVALID,
                details="This assertion was already used; make a new one, with a new `jti`, for each request.",
            )
        wait = self.rates.charge_client(request.client_id, request.address, attested=proved.attested)
        return too_often(wait) if wait else None

    def _record(self, tx: Tx, request: TokenRequest, granted: Granted, now: datetime) -> _Recorded:
        kid = keys.active_kid(tx)
        its = claims(
            granted,
            issuer=self.issuer,
            trust_domain=self.trust_domain,
            jti=self.token_bytes(16).hex(),
            now=now,
        )
        unsigned = signing_input(header(kid), its)
        record_issued(
            tx,
            request,
            granted,
            now,
            jti=its["jti"],
            kid=kid,
            token_sha256=sha256(unsigned).hexdigest(),
            expires_at=now.replace(microsecond=0) + timedelta(seconds=granted.lifetime),
        )
        return _Recorded(kid=kid, signing_input=unsigned, claims=its)

    def _sign(self, recorded: _Recorded) -> Issued:
        try:
            signature = self.signer.sign(recorded.kid, recorded.signing_input)
        except Exception as error:
            raise Unavailable("The token could not be signed.") from error
        return Issued(token=assemble(recorded.signing_input, signature), claims=recorded.claims)


def explained(tx: Tx, denied: Denied) -> Denied:
    """Return the refusal, and mark which of its missing actions are unknown.

    An action is unknown if no role and no API has it. A new delegation could not allow an unknown action.
    """
    if not denied.missing:
        return denied
    return with_unknown(denied, {*roles.held(tx, denied.missing), *apis.described(tx, among=denied.missing)})


def load_facts(tx: Tx, request: TokenRequest) -> Facts:
    """Load the data for the decision on this request, in this transaction."""
    client = clients.load(tx, request.client_id)
    resolved = {resource: apis.resolve(tx, resource) for resource in request.resources}
    return Facts(
        version=tx.version,
        client=client,
        authorities=tuple(
            GrantedAuthority(delegation=delegation, role=role)
            for delegation, role in delegations.of_client(tx, client.id)
        )
        if client
        else (),
        audiences={resource: identifier for resource, identifier in resolved.items() if identifier},
        trusted_issuers=issuers.by_ids(tx, client.trusted_issuer_ids) if client and client.trusted_issuer_ids else {},
    )


def record_issued(
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
    """Record the token in the audit log just before it is signed.

    From then on, the token is issued, even if the caller never gets the answer.
    """
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
            | _issuer(granted.trusted_issuer),
        ),
    )


def record_refused(tx: Tx, request: TokenRequest, facts: Facts, proved: Proved, outcome: Denied, now: datetime) -> None:
    """Record the refusal of an authenticated request in the audit log.

    The refusal gets its own event only if the client has certainly sent the request. Otherwise the refusal is
    only counted. Rate-limited requests and invalid proofs are only counted, too.
    """
    if not proved.attested or outcome.reason in _COUNTED:
        count_refusals(tx, tally_refusal(outcome, request.address, request.request_id, facts), now)
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
            | _issuer(facts.trusted_issuers.get(proved.trusted_issuer_id or "")),
        ),
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
    refusal = Refusal(address=limit_key(address), client=named, reason=denied.reason, apart=_apart(denied))
    return {refusal: Tally(count=1, request_id=request_id, detail=detail)}


def count_refusals(tx: Tx, tallies: Mapping[Refusal, Tally], now: datetime) -> None:
    """Add the refusals to the audit log's counters for the current minute."""
    audit.count_refusals(tx, tallies, now)


def _apart(denied: Denied) -> str:
    if denied.miss:
        return f"{denied.miss.proof_id} {denied.miss.sentence}"
    return f"{denied.failed.trusted_issuer_id} {denied.failed.sentence}" if denied.failed else ""


def _enrolled(proved: Proved) -> dict[str, Any]:
    """Return the event detail that says that an enrolled key was the proof. Such a key is valid for some hours only."""
    return {"enrolled": True} if proved.enrolled else {}


def _checked(proved: Proved) -> dict[str, Any]:
    """Return event details: how each selector was proved, and how a cluster's token was validated."""
    its: dict[str, Any] = {}
    if proved.proved_by:
        its["proved_by"] = {key: how.value for key, how in sorted(proved.proved_by.items())}
    if proved.validation:
        its["validation"] = proved.validation.value
    return its


def _issuer(trusted_issuer: TrustedIssuer | None) -> dict[str, Any]:
    """Return the event detail with the trusted issuer's id, and its name at this time."""
    return {"trusted_issuer": {"id": trusted_issuer.id, "name": trusted_issuer.name}} if trusted_issuer else {}


def _asked(request: TokenRequest) -> dict[str, Any]:
    return {
        "actions": None if request.actions is None else list(request.actions),
        "resources": list(request.resources),
    }


class TokenLimits:
    """The three rate limits of token requests, in requests a minute. `clock` is monotonic, in seconds.

    Each method returns 0.0 within the limit, or the seconds to wait. The class `Throttle` is not used, because
    it raises an exception. A refused token request is a value (`Denied`), not an exception.
    """

    def __init__(self, *, address: int, unproved: int, client: int, clock: Callable[[], float]) -> None:
        self._address = Limiter(address)
        self._unproved = Limiter(unproved)
        self._client = Limiter(client)
        self._clock = clock

    def charge_address(self, address: str) -> float:
        """Charge a request to the rate limit of its address. Every request is charged."""
        return self._address.charge(limit_key(address), self._clock())

    def charge_client(self, client_id: str, address: str, *, attested: bool) -> float:
        """Charge a request to the client's rate limit.

        An unattested request is charged to another limit, which each pair of client and address has.
        """
        if attested:
            return self._client.charge(client_id, self._clock())
        return self._unproved.charge(f"{client_id} {limit_key(address)}", self._clock())
