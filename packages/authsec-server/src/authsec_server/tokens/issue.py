"""Issue delegation tokens: decide, record, sign.

Every token request that is granted takes all three steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from authsec.jose import assemble, signing_input
from starlette.concurrency import run_in_threadpool

from authsec_server.apis import service as apis
from authsec_server.attestation import service as attestation
from authsec_server.attestation.model import Proved, Refused, Unchecked
from authsec_server.attestation.workloads import Workloads
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named, Refusal, Tally
from authsec_server.db import Database, Tx
from authsec_server.db.batches import Batches
from authsec_server.delegations.model import title
from authsec_server.failures import Unavailable
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.keys import service as keys
from authsec_server.keys.signer import Signer
from authsec_server.roles import service as roles
from authsec_server.tokens.claims import claims, header
from authsec_server.tokens.decision import (
    Denied,
    Facts,
    Granted,
    Issuance,
    LifetimeLimits,
    Reason,
    decide,
    too_often,
    with_unknown,
)
from authsec_server.tokens.facts import RecentFacts, load_facts
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


@dataclass(slots=True, kw_only=True)
class _Asked:
    """A request whose client has proved itself, with the facts of some authority version.

    `wait` is what the client's rate limit answered: None before it was charged.
    """

    request: TokenRequest
    facts: Facts
    proved: Proved
    wait: float | None = None


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
    recent: RecentFacts = field(default_factory=RecentFacts)
    batches: Batches[_Asked, _Recorded | Denied] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "batches", Batches(self.database, self._decide_and_record))

    @property
    def issuance(self) -> Issuance:
        """Return the settings that apply to every token. Previews use these settings."""
        return Issuance(issuer=self.issuer, trust_domain=self.trust_domain, limits=self.limits)

    def issue(self, request: TokenRequest) -> Issued | Denied:
        """Issue the token, or return the refusal. The result is in the audit log before this method returns."""
        if wait := self.rates.charge_address(request.address):
            return self.refuse(too_often(wait), request.address, request.request_id)
        return self._issue(request)

    async def issue_async(self, request: TokenRequest) -> Issued | Denied:
        """Do the same as `issue` for a task of an event loop.

        A request that needs nothing but memory and the next transaction takes no thread.
        """
        facts = self.recent.of(request)
        if facts is None or self.rates.charge_address(request.address):
            return await run_in_threadpool(self.issue, request)
        proved = self._prove_at_once(facts, request)
        if proved is None:
            return await run_in_threadpool(self._issue, request)
        recorded = await self.batches.submit(_Asked(request=request, facts=facts, proved=proved))
        if isinstance(recorded, Denied):
            return recorded
        if not self.signer.has_opened(recorded.kid):  # that reads the database
            return await run_in_threadpool(self._sign, recorded)
        return self._sign(recorded)

    def _issue(self, request: TokenRequest) -> Issued | Denied:
        facts = self.database.read(lambda tx: self._load(tx, request))
        try:
            proved = self._prove(facts, request)
        except Unchecked as error:
            denied = Denied(reason=Reason.UNAVAILABLE, failed=error.failed)
            with suppress(Unavailable):  # where that cannot be recorded either, the answer is the same
                self.refuse(denied, request.address, request.request_id, facts=facts)
            raise
        if isinstance(proved, Denied):
            return self.refuse(proved, request.address, request.request_id, facts=facts)
        recorded = self.batches.run(_Asked(request=request, facts=facts, proved=proved))
        return recorded if isinstance(recorded, Denied) else self._sign(recorded)

    def close(self) -> None:
        """Finish the requests that wait for their record. Call this before the database is closed."""
        self.batches.close()

    def refuse(self, denied: Denied, address: str, request_id: str, *, facts: Facts | None = None) -> Denied:
        """Count the refusal of an unauthenticated caller in the audit log, and return the refusal."""
        tallies = tally_refusal(denied, address, request_id, facts)
        self.database.append(lambda tx: count_refusals(tx, tallies, self.now()))
        return denied

    def _load(self, tx: Tx, request: TokenRequest) -> Facts:
        facts = load_facts(tx, request)
        self.recent.keep(request, facts)
        return facts

    def _prove_at_once(self, facts: Facts, request: TokenRequest) -> Proved | None:
        """Return the proof by kept facts. None where only newer facts may refuse, or the check may ask another host."""
        if facts.client is None:
            return None
        proved = attestation.attest_at_once(facts.client, request.evidence, issuer=self.issuer, now=self.now())
        return proved if isinstance(proved, Proved) else None

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

    def _decide_and_record(self, tx: Tx, asked: Sequence[_Asked]) -> Sequence[_Recorded | Denied | Exception]:
        """Decide about the requests, and record the results, under the shared authority lock.

        The lock keeps the data of the decisions unchanged until the records are durable.
        """
        now = self.now()  # after the lock: it may have been waited for
        self.recent.at_version(tx.version)
        outcomes: list[_Recorded | Denied | Exception] = []
        events: list[Event] = []
        kid = ""
        for each in asked:
            outcome = self._decide(tx, each, now)
            if isinstance(outcome, Granted):
                kid = kid or keys.active_kid(tx)
                recorded, event = self._prepared(each.request, outcome, kid, now)
                events.append(event)
                outcomes.append(recorded)
            else:
                outcomes.append(outcome)
        audit.record_all(tx, events)
        return outcomes

    def _decide(self, tx: Tx, asked: _Asked, now: datetime) -> Granted | Denied:
        """Return the decision about the request. A refusal is in the audit log."""
        request, facts, proved = asked.request, asked.facts, asked.proved
        if tx.version != facts.version:
            facts = self._load(tx, request)
        outcome = self._admit(tx, asked) or decide(facts, proved, request.actions, request.resources, self.limits, now)
        if isinstance(outcome, Denied):
            outcome = explained(tx, outcome)
            record_refused(tx, request, facts, proved, outcome, now)
        return outcome

    def _admit(self, tx: Tx, asked: _Asked) -> Denied | None:
        """Use up evidence that is valid only once, and charge the client's rate limit.

        The evidence comes first. Otherwise an attacker could use up the client's limit by replaying old evidence.
        """
        request, proved = asked.request, asked.proved
        if proved.single_use and not attestation.use_once(tx, request.client_id, proved.single_use):
            return Denied(
                reason=Reason.ATTESTATION_INVALID,
                details="This assertion was already used; make a new one, with a new `jti`, for each request.",
            )
        if asked.wait is None:  # a transaction that is repeated charges nothing more
            asked.wait = self.rates.charge_client(request.client_id, request.address, attested=proved.attested)
        return too_often(asked.wait) if asked.wait else None

    def _prepared(self, request: TokenRequest, granted: Granted, kid: str, now: datetime) -> tuple[_Recorded, Event]:
        its = claims(
            granted,
            issuer=self.issuer,
            trust_domain=self.trust_domain,
            jti=self.token_bytes(16).hex(),
            now=now,
        )
        unsigned = signing_input(header(kid), its)
        event = issued_event(
            request,
            granted,
            now,
            jti=its["jti"],
            kid=kid,
            token_sha256=sha256(unsigned).hexdigest(),
            expires_at=now.replace(microsecond=0) + timedelta(seconds=granted.lifetime),
        )
        return _Recorded(kid=kid, signing_input=unsigned, claims=its), event

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


def issued_event(
    request: TokenRequest,
    granted: Granted,
    now: datetime,
    *,
    jti: str,
    kid: str,
    token_sha256: str,
    expires_at: datetime,
) -> Event:
    """Return the event of a token, which is recorded just before the token is signed.

    From then on, the token is issued, even if the caller never gets the answer.
    """
    return Event(
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
