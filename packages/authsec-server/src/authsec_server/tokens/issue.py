"""Issue delegation tokens: decide, record, sign.

Every token request that is granted takes all three steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from authsec.jose import assemble
from starlette.concurrency import run_in_threadpool

from authsec_server.attestation import service as attestation
from authsec_server.attestation.model import Proved, Refused, Unchecked
from authsec_server.attestation.workloads import Workloads
from authsec_server.db import Database, Tx
from authsec_server.db.batches import Batches
from authsec_server.failures import Unavailable
from authsec_server.keys.signer import Signer
from authsec_server.tokens.decision import Facts, Issuance, LifetimeLimits
from authsec_server.tokens.facts import MOST_WAITING, KeptFacts, RecentFacts, load_all_facts, weight
from authsec_server.tokens.limits import TokenLimits
from authsec_server.tokens.recording import ProofOutdated, ProvedRequest, RecordedToken, Recorder
from authsec_server.tokens.records import count_refusals, tally_refusal
from authsec_server.tokens.refusal import Denied, Reason, too_often
from authsec_server.tokens.request import TokenRequest

RECORD: Final = "record"  # steps of a traced request
SIGN: Final = "sign"
_UNKNOWN: Final = Denied(
    reason=Reason.CLIENT_NOT_FOUND, details="Check AUTHSEC_AGENT_CLIENT_ID against the list of clients."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A signed delegation token."""

    token: str
    recorded: RecordedToken

    @property
    def answer(self) -> bytes:
        """Return the answer of the delegation-token endpoint, as JSON."""
        return self.recorded.template.answer(self.token, self.recorded.issued_at)

    @property
    def oauth_answer(self) -> bytes:
        """Return the answer of the OAuth token endpoint, as JSON."""
        return self.recorded.template.oauth_answer(self.token)


class PendingToken:
    """A token request that waits for its facts, its audit record and its signature. Create it in an event loop.

    `done` has no result. When `done` is complete, call `issued` or `outcome`.
    """

    def __init__(self, tokens: DelegationTokens, request: TokenRequest) -> None:
        self.request = request
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tokens = tokens
        self._read: KeptFacts | None = None  # the facts that were read for this request
        self._failure: BaseException | None = None  # the error while the facts were read
        self._asked: ProvedRequest | None = None
        self._recorded: asyncio.Future[RecordedToken | Denied] | None = None
        self._signature: asyncio.Future[bytes] | None = None

    def read_facts(self) -> None:
        """Read the facts in a batch with other requests. Then record the request if its proof is quickly verified."""
        self._tokens.reads.submit(self.request).add_done_callback(self._use_facts)

    def record(self, kept: KeptFacts, proved: Proved) -> None:
        """Add the request to the next transaction that decides and records."""
        self._asked = ProvedRequest(request=self.request, kept=kept, proved=proved)
        if self.request.steps is not None:
            self.request.steps.begin(RECORD)
        self._recorded = self._tokens.batches.submit(self._asked)
        self._recorded.add_done_callback(self._begin_to_sign)

    def issued(self) -> Issued | None:
        """Return the signed token. Return None if no token was granted, or if the signing key is not in memory.

        Raises `Unavailable`.
        """
        granted = self._granted()
        if granted is None:
            return None
        self._keep()
        issued = self._tokens.issued(granted, self._signed())
        if self.request.steps is not None:
            self.request.steps.end(SIGN)
        return issued

    @property
    def is_proved(self) -> bool:
        """Whether the caller has proved to be the client."""
        return self._asked is not None

    async def outcome(self) -> Issued | Denied:
        """Return the token or the refusal, as `DelegationTokens.issue` does. Raises `Unavailable`."""
        await self.done
        if self._failure is not None:
            raise self._failure
        if self._recorded is None:  # the check of the proof needs a thread, or the request is refused
            return await run_in_threadpool(self._tokens.issue_charged, self.request, self._read)
        try:
            recorded = self._recorded.result()
        except ProofOutdated:
            return await run_in_threadpool(self._tokens.issue_charged, self.request)
        if isinstance(recorded, Denied):
            return recorded
        issued = self.issued()
        if issued is None:  # the key is in the database
            self._keep()
            issued = await run_in_threadpool(self._tokens.issued, recorded)
            if self.request.steps is not None:
                self.request.steps.end(SIGN)
        return issued

    def _use_facts(self, read: asyncio.Future[KeptFacts]) -> None:
        try:
            self._failure = None if read.cancelled() else read.exception()
            if self._failure is None:
                kept = self._tokens.recent.with_templates(self.request, read.result())
                if weight(kept.facts) > MOST_WAITING:
                    return  # too large to keep: a thread reads the facts again
                self._read = kept
                if (proved := self._tokens.prove_at_once(kept.facts, self.request)) is not None:
                    self.record(kept, proved)
        finally:  # whatever happens, the caller gets an answer
            if self._recorded is None:
                self._end(None)

    def _keep(self) -> None:
        if self._asked is not None:
            self._tokens.keep(self._asked)

    def _signed(self) -> bytes | None:
        """Return the signature from the signing process. Return None if the process has not signed."""
        its = self._signature
        return None if its is None or its.cancelled() or its.exception() is not None else its.result()

    def _granted(self) -> RecordedToken | None:
        """Return the recorded token if it was granted and its key is in memory; otherwise None."""
        its = self._recorded
        if its is None or its.cancelled() or its.exception() is not None:
            return None
        recorded = its.result()
        if isinstance(recorded, Denied):
            return None
        has_key = self._tokens.signer.has_opened(recorded.event.kid, recorded.template.algorithm)
        return recorded if has_key else None

    def _begin_to_sign(self, _recorded: object) -> None:
        granted, steps = self._granted(), self.request.steps
        if steps is not None:
            steps.end(RECORD)
            steps.begin(SIGN)
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
    reads: Batches[TokenRequest, KeptFacts] = field(init=False)
    batches: Batches[ProvedRequest, RecordedToken | Denied] = field(init=False)

    def __post_init__(self) -> None:
        recorder = Recorder(
            signer=self.signer,
            issuance=self.issuance,
            rates=self.rates,
            recent=self.recent,
            changes=self.database.recent_changes,
            now=self.now,
            monotonic=self.monotonic,
            token_bytes=self.token_bytes,
        )
        object.__setattr__(self, "reads", Batches(self.database, self._load, reads=True))
        object.__setattr__(self, "batches", Batches(self.database, recorder.record))

    @property
    def issuance(self) -> Issuance:
        """Return the settings that apply to every token. Previews use these settings."""
        return Issuance(issuer=self.issuer, trust_domain=self.trust_domain, limits=self.limits)

    def issue(self, request: TokenRequest) -> Issued | Denied:
        """Issue the token, or return the refusal. The result is in the audit log before this method returns."""
        if wait := self.rates.charge_address(request.address):
            return self.refuse(too_often(wait, of_address=True), request.address, request.request_id)
        return self.issue_charged(request)

    async def issue_async(self, request: TokenRequest, *, is_charged: bool = False) -> Issued | Denied:
        """Issue the token as `issue` does, but from a task of an event loop.

        `is_charged` says that the address was charged for this request.
        """
        begun = self.begin(request, is_charged=is_charged)
        if begun is not None:
            return await begun.outcome()
        return await run_in_threadpool(self.issue_charged if is_charged else self.issue, request)

    def begin(self, request: TokenRequest, *, is_charged: bool = False) -> PendingToken | None:
        """Begin to issue the token without a thread. Call this in an event loop.

        Return None, without a charge, if the request needs a thread or would be refused now. A request needs a thread
        if anything except the database is not in memory. If the client's facts are not cached, they are read first. The
        proof is then verified in the `PendingToken`.
        """
        if not is_charged and self.rates.wait_of_address(request.address):
            return None
        kept = self.recent.of(request, self.monotonic())
        proved = None if kept is None else self.prove_at_once(kept.facts, request)
        if kept is not None and proved is None:
            return None
        if not is_charged and self.rates.charge_address(request.address):
            return None
        begun = PendingToken(self, request)
        if kept is None or proved is None:
            begun.read_facts()
        else:
            begun.record(kept, proved)
        return begun

    def issue_charged(self, request: TokenRequest, read: KeptFacts | None = None) -> Issued | Denied:
        """Issue the token as `issue` does, after the address was charged.

        `read` are facts that were read after the request arrived.
        """
        try:
            return self._issue(request, read, is_last=False)
        except ProofOutdated:  # the client or the trusted issuer was changed meanwhile
            return self._issue(request, None, is_last=True)

    def _issue(self, request: TokenRequest, read: KeptFacts | None, *, is_last: bool) -> Issued | Denied:
        if read is None:
            (read,) = self.database.read(lambda tx: self._load(tx, [request]))
        known = None if request.is_stand_in else read.facts
        try:
            proved = self._prove(read.facts, request)
        except Unchecked as error:
            denied = Denied(reason=Reason.UNAVAILABLE, failed=error.failed)
            with suppress(Unavailable):  # if recording fails too, the answer is the same
                self.refuse(denied, request.address, request.request_id, facts=known)
            raise
        if isinstance(proved, Denied):
            return self.refuse(proved, request.address, request.request_id, facts=known)
        kept = self.recent.with_templates(request, read)
        asked = ProvedRequest(request=request, kept=kept, proved=proved, is_last=is_last)
        with _step(request, RECORD):
            recorded = self.batches.run(asked)
        if isinstance(recorded, Denied):
            return recorded
        self.keep(asked)
        with _step(request, SIGN):
            return self.issued(recorded)

    def _load(self, tx: Tx, requests: Sequence[TokenRequest]) -> list[KeptFacts]:
        begun = self.monotonic()
        return [KeptFacts(facts, begun) for facts in load_all_facts(tx, requests, self.limits.default_audience)]

    def close(self) -> None:
        """Finish the requests that wait for their record. Call this before the database is closed."""
        self.reads.close()
        self.batches.close()

    def refuse(self, denied: Denied, address: str, request_id: str, *, facts: Facts | None = None) -> Denied:
        """Count the refusal of an unauthenticated caller in the audit log, and return the refusal."""
        tallies = tally_refusal(denied, address, request_id, facts)
        self.database.append(lambda tx: count_refusals(tx, tallies, self.now()))
        return denied

    def keep(self, asked: ProvedRequest) -> None:
        """Cache the facts with which a token was granted. Call this after the commit of its transaction."""
        if asked.kept is not self.recent.of(asked.request, self.monotonic()):
            self.recent.keep(asked.request, asked.kept)

    def prove_at_once(self, facts: Facts, request: TokenRequest) -> Proved | None:
        """Verify the proof with these facts, without a request to another host. Return None if this is not possible.

        None is not a refusal: newer facts or another host may accept the proof.
        """
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
        return proved if isinstance(proved, Proved) and not request.is_stand_in else None

    def _prove(self, facts: Facts, request: TokenRequest) -> Proved | Denied:
        if facts.client is None:
            return _UNKNOWN
        proved = attestation.attest(
            facts.client,
            facts.trusted_issuers,
            request.evidence,
            workloads=self.workloads,
            issuer=self.issuer,
            now=self.now(),
        )
        if request.is_stand_in:  # only now, and counted by the same statements: this must take as long as for a client
            refused = Denied.of(proved) if isinstance(proved, Refused) else _UNKNOWN
            return replace(_UNKNOWN, miss=refused.miss, failed=refused.failed)
        return Denied.of(proved) if isinstance(proved, Refused) else proved

    def issued(self, recorded: RecordedToken, signature: bytes | None = None) -> Issued:
        """Return the signed token. Without a `signature`, sign it now. Raises `Unavailable`."""
        signature = self.sign(recorded) if signature is None else signature
        return Issued(token=assemble(recorded.signing_input, signature), recorded=recorded)

    def sign(self, recorded: RecordedToken) -> bytes:
        """Sign the recorded token, and return the signature. Raises `Unavailable`."""
        try:
            return self.signer.sign(recorded.event.kid, recorded.template.algorithm, recorded.signing_input)
        except Exception as error:
            raise Unavailable("The token could not be signed.") from error


def _step(request: TokenRequest, step: str) -> AbstractContextManager[None]:
    return nullcontext() if request.steps is None else request.steps.during(step)
