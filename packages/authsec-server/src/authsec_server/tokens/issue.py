"""Issue delegation tokens: decide, record, sign.

Every token request that is granted takes all three steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from authsec.jose import assemble
from starlette.concurrency import run_in_threadpool

from authsec_server.apis import service as apis
from authsec_server.attestation import service as attestation
from authsec_server.attestation.model import Proved, Refused, Unchecked
from authsec_server.attestation.workloads import Workloads
from authsec_server.audit import service as audit
from authsec_server.audit.event_batches import TokenEvent
from authsec_server.db import Database, Tx
from authsec_server.db.batches import Batches
from authsec_server.failures import Unavailable
from authsec_server.keys import service as keys
from authsec_server.keys.signer import Signer
from authsec_server.roles import service as roles
from authsec_server.tokens.decision import (
    Denied,
    Facts,
    Issuance,
    LifetimeLimits,
    Reason,
    decide,
    too_often,
    with_unknown,
)
from authsec_server.tokens.facts import KeptFacts, RecentFacts, load_facts
from authsec_server.tokens.records import count_refusals, record_refused, tally_refusal
from authsec_server.tokens.request import TokenRequest
from authsec_server.tokens.templates import Template, key_of, template_of
from authsec_server.web.request_context import limit_key
from authsec_server.web.throttle import Limiter

MOST_TEMPLATES: Final = 32  # of one client and its resources: other proofs and scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A signed delegation token and its claims."""

    token: str
    claims: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    """A token that is recorded in the audit log, but not signed yet."""

    event: TokenEvent
    signing_input: bytes
    claims: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class _Asked:
    """A request whose client has proved itself, with the facts of some authority version.

    `wait` is what the client's rate limit answered: None before it was charged.
    """

    request: TokenRequest
    kept: KeptFacts
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
        kept = self.recent.of(request)
        if kept is None or self.rates.charge_address(request.address):
            return await run_in_threadpool(self.issue, request)
        proved = self._prove_at_once(kept.facts, request)
        if proved is None:
            return await run_in_threadpool(self._issue, request)
        recorded = await self.batches.submit(_Asked(request=request, kept=kept, proved=proved))
        if isinstance(recorded, Denied):
            return recorded
        if not self.signer.has_opened(recorded.event.kid):  # that reads the database
            return await run_in_threadpool(self._sign, recorded)
        return self._sign(recorded)

    def _issue(self, request: TokenRequest) -> Issued | Denied:
        kept = self.database.read(lambda tx: self._load(tx, request))
        facts = kept.facts
        try:
            proved = self._prove(facts, request)
        except Unchecked as error:
            denied = Denied(reason=Reason.UNAVAILABLE, failed=error.failed)
            with suppress(Unavailable):  # where that cannot be recorded either, the answer is the same
                self.refuse(denied, request.address, request.request_id, facts=facts)
            raise
        if isinstance(proved, Denied):
            return self.refuse(proved, request.address, request.request_id, facts=facts)
        recorded = self.batches.run(_Asked(request=request, kept=kept, proved=proved))
        return recorded if isinstance(recorded, Denied) else self._sign(recorded)

    def close(self) -> None:
        """Finish the requests that wait for their record. Call this before the database is closed."""
        self.batches.close()

    def refuse(self, denied: Denied, address: str, request_id: str, *, facts: Facts | None = None) -> Denied:
        """Count the refusal of an unauthenticated caller in the audit log, and return the refusal."""
        tallies = tally_refusal(denied, address, request_id, facts)
        self.database.append(lambda tx: count_refusals(tx, tallies, self.now()))
        return denied

    def _load(self, tx: Tx, request: TokenRequest) -> KeptFacts:
        return self.recent.keep(request, load_facts(tx, request))

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

    def _decide_and_record(self, tx: Tx, asked: Sequence[_Asked]) -> Sequence[_Recorded | Denied]:
        """Decide about the requests, and record the results, under the shared authority lock.

        The lock keeps the data of the decisions unchanged until the records are durable.
        """
        now = self.now()  # after the lock: it may have been waited for
        self.recent.at_version(tx.version)
        decided = [self._decide(tx, each, now) for each in asked]
        kid = keys.active_kid(tx) if any(isinstance(each, Template) for each in decided) else ""
        outcomes = [
            each if isinstance(each, Denied) else self._prepared(of.request, each, kid, now)
            for of, each in zip(asked, decided, strict=True)
        ]
        audit.record_all(tx, [each.event for each in outcomes if isinstance(each, _Recorded)])
        return outcomes

    def _decide(self, tx: Tx, asked: _Asked, now: datetime) -> Template | Denied:
        """Return what is granted to the request, or the refusal, which is then in the audit log."""
        request, kept, proved = asked.request, asked.kept, asked.proved
        if tx.version != kept.facts.version:
            kept = self._load(tx, request)
        outcome = self._admit(tx, asked) or self._granted(kept, request, proved, now)
        if isinstance(outcome, Denied):
            outcome = explained(tx, outcome)
            record_refused(tx, request, kept.facts, proved, outcome, now)
        return outcome

    def _granted(self, kept: KeptFacts, request: TokenRequest, proved: Proved, now: datetime) -> Template | Denied:
        """Decide on these facts, or find what was decided on them before."""
        key = key_of(proved, request.actions)
        template = kept.templates.get(key)
        if template is not None and template.is_valid(now):
            return template
        outcome = decide(kept.facts, proved, request.actions, request.resources, self.limits, now)
        if isinstance(outcome, Denied):
            return outcome
        if len(kept.templates) >= MOST_TEMPLATES:
            kept.templates.clear()
        template = kept.templates[key] = template_of(kept.facts, outcome, self.issuance, now)
        return template

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

    def _prepared(self, request: TokenRequest, template: Template, kid: str, now: datetime) -> _Recorded:
        jti, issued_at = self.token_bytes(16).hex(), int(now.timestamp())
        unsigned = template.signing_input(kid, issued_at, jti)
        event = TokenEvent(
            template=template.event,
            at=now,
            request_id=request.request_id,
            address=request.address,
            jti=jti,
            kid=kid,
            token_sha256=sha256(unsigned).hexdigest(),
            expires_at=now.replace(microsecond=0) + timedelta(seconds=template.lifetime),
        )
        return _Recorded(event=event, signing_input=unsigned, claims=template.claims_of(issued_at, jti))

    def _sign(self, recorded: _Recorded) -> Issued:
        try:
            signature = self.signer.sign(recorded.event.kid, recorded.signing_input)
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
