"""Issue delegation tokens: decide, record, sign.

Every token request that is granted takes all three steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
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
from authsec_server.keys.model import Algorithm
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
from authsec_server.tokens.facts import KeptFacts, RecentFacts, load_all_facts, load_facts
from authsec_server.tokens.limits import TokenLimits
from authsec_server.tokens.records import Refusals, count_refusals, tally_refusal
from authsec_server.tokens.request import Subject, TokenRequest
from authsec_server.tokens.templates import Template, key_of, template_of

MOST_TEMPLATES: Final = 4  # of one client and its resources: other proofs and scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedToken:
    """A token that is recorded in the audit log, but not signed yet. `issued_at` is in seconds since 1970."""

    template: Template
    event: TokenEvent
    signing_input: bytes
    issued_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A signed delegation token."""

    token: str
    recorded: RecordedToken

    @property
    def claims(self) -> dict[str, Any]:
        """Return the claims of the token."""
        return self.recorded.template.claims_of(self.recorded.issued_at, self.recorded.event.jti)

    @property
    def answer(self) -> bytes:
        """Return the answer to the request, as JSON."""
        return self.recorded.template.answer(self.token, self.recorded.issued_at)


@dataclass(slots=True, kw_only=True)
class _Asked:
    """A request whose client has proved itself, with the facts of some authority version.

    `wait` is what the client's rate limit answered: None before it was charged. `decided_on` are the facts of the last
    decision.
    """

    request: TokenRequest
    kept: KeptFacts
    proved: Proved
    wait: float | None = None
    decided_on: KeptFacts | None = None


class PendingToken:
    """A request that waits for its record and its signature. To be made in an event loop.

    `done` has no result of its own. Once it is done, `issued` and `outcome` have theirs.
    """

    def __init__(
        self, tokens: DelegationTokens, asked: _Asked, recorded: asyncio.Future[RecordedToken | Denied]
    ) -> None:
        self.request = asked.request
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tokens = tokens
        self._asked = asked
        self._recorded = recorded
        self._signature: asyncio.Future[bytes] | None = None
        recorded.add_done_callback(self._begin_to_sign)

    def issued(self) -> Issued | None:
        """Return the token. None if there is none, or if its key is not in memory. Raises `Unavailable`."""
        granted = self._granted()
        if granted is None:
            return None
        self._tokens.keep(self._asked)
        return self._tokens.issued(granted, self._signed())

    def _signed(self) -> bytes | None:
        """Return the signature of a signing process. None if there is none, because the process has ended."""
        its = self._signature
        return None if its is None or its.cancelled() or its.exception() is not None else its.result()

    async def outcome(self) -> Issued | Denied:
        """Return what `DelegationTokens.issue` would return. Raises `Unavailable`."""
        await self.done
        recorded = self._recorded.result()
        if isinstance(recorded, Denied):
            return recorded
        issued = self.issued()
        if issued is None:  # the key is in the database
            self._tokens.keep(self._asked)
            issued = await run_in_threadpool(self._tokens.issued, recorded)
        return issued

    def _granted(self) -> RecordedToken | None:
        """Return what is recorded if only the signature is missing, and its key is in memory."""
        if self._recorded.cancelled() or self._recorded.exception() is not None:
            return None
        recorded = self._recorded.result()
        if isinstance(recorded, Denied):
            return None
        has_key = self._tokens.signer.has_opened(recorded.event.kid, recorded.template.algorithm)
        return recorded if has_key else None

    def _begin_to_sign(self, _recorded: object) -> None:
        granted = self._granted()
        try:
            if granted is not None:
                self._signature = self._tokens.signer.sign_elsewhere(
                    granted.event.kid, granted.template.algorithm, granted.signing_input
                )
        finally:  # whatever happens, the caller gets an answer
            if self._signature is None:
                self._end(None)
            else:
                self._signature.add_done_callback(self._end)

    def _end(self, _signature: object) -> None:
        if not self.done.done():
            self.done.set_result(None)


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
    monotonic: Callable[[], float]
    token_bytes: Callable[[int], bytes]
    recent: RecentFacts = field(default_factory=RecentFacts)
    batches: Batches[_Asked, RecordedToken | Denied] = field(init=False)

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
        """Do the same as `issue` for a task of an event loop."""
        begun = self.begin(request)
        return await (run_in_threadpool(self.issue, request) if begun is None else begun.outcome())

    def begin(self, request: TokenRequest) -> PendingToken | None:
        """Begin to issue the token, if that needs nothing but memory and the next transaction, and so no thread.

        Return None if it needs more, or if the request would be refused now. Then nothing has been charged.
        To be called in an event loop.
        """
        kept = self.recent.of(request, self.monotonic())
        if kept is None or self.rates.wait_of_address(request.address):
            return None
        proved = self._prove_at_once(kept.facts, request)
        if proved is None or self.rates.charge_address(request.address):
            return None
        asked = _Asked(request=request, kept=kept, proved=proved)
        return PendingToken(self, asked, self.batches.submit(asked))

    def _issue(self, request: TokenRequest) -> Issued | Denied:
        begun = self.monotonic()
        facts = self.database.read(lambda tx: load_facts(tx, request, self.limits.default_audience))
        try:
            proved = self._prove(facts, request)
        except Unchecked as error:
            denied = Denied(reason=Reason.UNAVAILABLE, failed=error.failed)
            with suppress(Unavailable):  # where that cannot be recorded either, the answer is the same
                self.refuse(denied, request.address, request.request_id, facts=facts)
            raise
        if isinstance(proved, Denied):
            return self.refuse(proved, request.address, request.request_id, facts=facts)
        asked = _Asked(
            request=request, kept=self.recent.with_templates(request, KeptFacts(facts, begun)), proved=proved
        )
        recorded = self.batches.run(asked)
        if isinstance(recorded, Denied):
            return recorded
        self.keep(asked)
        return self.issued(recorded)

    def close(self) -> None:
        """Finish the requests that wait for their record. Call this before the database is closed."""
        self.batches.close()

    def refuse(self, denied: Denied, address: str, request_id: str, *, facts: Facts | None = None) -> Denied:
        """Count the refusal of an unauthenticated caller in the audit log, and return the refusal."""
        tallies = tally_refusal(denied, address, request_id, facts)
        self.database.append(lambda tx: count_refusals(tx, tallies, self.now()))
        return denied

    def keep(self, asked: _Asked) -> None:
        """Keep the facts on which a token was granted, now that its transaction is durable."""
        if asked.decided_on is not None and asked.decided_on is not self.recent.of(asked.request, self.monotonic()):
            self.recent.keep(asked.request, asked.decided_on)

    def _prove_at_once(self, facts: Facts, request: TokenRequest) -> Proved | None:
        """Return the proof by kept facts. None where only newer facts may refuse, or the check may ask another host."""
        if facts.client is None:
            return None
        proved = attestation.attest_at_once(
            facts.client,
            facts.trusted_issuers,
            request.evidence,
            workloads=self.workloads,
            issuer=self.issuer,
            now=self.now(),
        )
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

    def _decide_and_record(self, tx: Tx, asked: Sequence[_Asked]) -> Sequence[RecordedToken | Denied | Exception]:
        """Decide about the requests, and record the results, under the shared authority lock.

        The lock keeps the data of the decisions unchanged until the records are durable.
        """
        now = self.now()  # after the lock: it may have been waited for
        self._renew(tx, asked)
        fresh = attestation.use_once(tx, [(each.request.client_id, each.proved.single_use) for each in asked])
        refusals = Refusals()
        decided = [
            self._decide(tx, each, refusals, now, is_fresh=is_fresh)
            for each, is_fresh in zip(asked, fresh, strict=True)
        ]
        kids: Mapping[Algorithm, str] = {}
        if any(isinstance(each, Template) for each in decided):  # refusals need no key
            kids = self.signer.active_kids(tx)
        outcomes = [
            each if isinstance(each, Denied) else self._prepared(of.request, each, kids, now)
            for of, each in zip(asked, decided, strict=True)
        ]
        audit.record_all(tx, [each.event for each in outcomes if isinstance(each, RecordedToken)])
        refusals.count(tx, now)
        return outcomes

    def _renew(self, tx: Tx, asked: Sequence[_Asked]) -> None:
        """Give each request facts of the authority that this transaction sees. What is missing is read together."""
        found: dict[Subject, KeptFacts] = {}
        missing: dict[Subject, TokenRequest] = {}
        begun = self.monotonic()
        stale = [each for each in asked if not each.kept.are_of(tx)]
        for each in stale:
            recent = self.recent.of(each.request, begun)
            if recent is not None and recent.are_of(tx):
                found[each.request.subject] = recent
            else:
                missing[each.request.subject] = each.request
        if missing:
            facts = load_all_facts(tx, [*missing.values()], self.limits.default_audience)
            found |= {subject: KeptFacts(its, begun) for subject, its in zip(missing, facts, strict=True)}
        for each in stale:
            each.kept = found[each.request.subject]

    def _decide(self, tx: Tx, asked: _Asked, refusals: Refusals, now: datetime, *, is_fresh: bool) -> Template | Denied:
        """Return what is granted to the request, or the refusal, which is then recorded or counted."""
        request, proved = asked.request, asked.proved
        asked.decided_on = kept = asked.kept
        outcome = self._admit(asked, is_fresh=is_fresh) or self._granted(kept, request, proved, now)
        if isinstance(outcome, Denied):
            outcome = explained(tx, outcome)
            refusals.add(tx, request, kept.facts, proved, outcome, now)
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
        template = template_of(kept.facts, outcome, self.issuance, now)
        if template.is_valid(now):
            if len(kept.templates) >= MOST_TEMPLATES:
                kept.templates.clear()
            kept.templates[key] = template
        return template

    def _admit(self, asked: _Asked, *, is_fresh: bool) -> Denied | None:
        """Refuse evidence that was used before, and charge the client's rate limit.

        The evidence comes first. Otherwise an attacker could use up the client's limit by replaying old evidence.
        """
        request = asked.request
        if not is_fresh:
            return Denied(
                reason=Reason.ATTESTATION_INVALID,
                details="This assertion was already used; make a new one, with a new `jti`, for each request.",
            )
        if asked.wait is None:  # a transaction that is repeated charges nothing more
            attested = asked.proved.attested
            asked.wait = self.rates.charge_client(request.client_id, request.address, attested=attested)
        return too_often(asked.wait) if asked.wait else None

    def _prepared(
        self, request: TokenRequest, template: Template, kids: Mapping[Algorithm, str], now: datetime
    ) -> RecordedToken | Unavailable:
        try:
            kid = keys.of_algorithm(kids, template.algorithm)
        except Unavailable as failure:
            return failure
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
        return RecordedToken(template=template, event=event, signing_input=unsigned, issued_at=issued_at)

    def issued(self, recorded: RecordedToken, signature: bytes | None = None) -> Issued:
        """Sign what is recorded, unless there is a signature. Raises `Unavailable`."""
        signature = self.sign(recorded) if signature is None else signature
        return Issued(token=assemble(recorded.signing_input, signature), recorded=recorded)

    def sign(self, recorded: RecordedToken) -> bytes:
        """Return the signature. Raises `Unavailable`."""
        try:
            return self.signer.sign(recorded.event.kid, recorded.template.algorithm, recorded.signing_input)
        except Exception as error:
            raise Unavailable("The token could not be signed.") from error


def explained(tx: Tx, denied: Denied) -> Denied:
    """Return the refusal, and mark which of its missing actions are unknown.

    An action is unknown if no role and no API has it. A new delegation could not allow an unknown action.
    """
    if not denied.missing:
        return denied
    return with_unknown(denied, {*roles.held(tx, denied.missing), *apis.described(tx, among=denied.missing)})
