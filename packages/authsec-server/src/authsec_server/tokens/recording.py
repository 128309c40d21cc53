"""Decide about the waiting token requests and record the results, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from authsec_server.apis import service as apis
from authsec_server.attestation import service as attestation
from authsec_server.attestation.model import Failed, Proved
from authsec_server.audit import service as audit
from authsec_server.audit.event_batches import TokenEvent
from authsec_server.db import RecentChanges, Tx
from authsec_server.failures import Unavailable
from authsec_server.keys import service as keys
from authsec_server.keys.model import Algorithm
from authsec_server.keys.signer import Signer
from authsec_server.ordered_ids import ordered_octets
from authsec_server.roles import service as roles
from authsec_server.tokens import dpop
from authsec_server.tokens.decision import Facts, Issuance, decide, still_proves, still_trusted
from authsec_server.tokens.facts import KeptFacts, RecentFacts, load_all_facts
from authsec_server.tokens.limits import TokenLimits
from authsec_server.tokens.missing_actions import with_unknown
from authsec_server.tokens.records import Refusals
from authsec_server.tokens.refusal import Denied, Reason, too_often
from authsec_server.tokens.request import Subject, TokenRequest
from authsec_server.tokens.templates import Template, key_of, template_of

DECIDE: Final = "decide"  # a step of a traced request
MOST_TEMPLATES: Final = 4  # of one client and its resources, for different proofs and scopes
_USED: Final = "This assertion was already used; make a new one, with a new `jti`, for each request."
_USED_ASSERTION: Final = Denied(
    reason=Reason.ATTESTATION_INVALID, details=_USED, failed=Failed(sentence=_USED), is_authentic=True
)
_USED_PROOF: Final = Denied(
    reason=Reason.INVALID_DPOP_PROOF,
    details="This DPoP proof was already used; make a new one, with a new `jti`, for each request.",
    failed=Failed(sentence="This DPoP proof was already used."),
)


@dataclass(slots=True, kw_only=True)
class ProvedRequest:
    """A request whose client is authenticated, with the facts of one authority version.

    `wait` is the result of the client's rate limit in seconds; None before the charge. The decision may replace `kept`
    by newer facts, and then sets `is_renewed`. The proof was verified with the older facts. It is then verified again,
    unless `is_last` is true.
    """

    request: TokenRequest
    kept: KeptFacts
    proved: Proved
    is_last: bool = False
    is_renewed: bool = False
    wait: float | None = None


class ProofOutdated(Exception):
    """The proof was checked on facts that have changed, and must be checked again. Nothing was charged or recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedToken:
    """A token that is recorded in the audit log, but not signed yet. `issued_at` is in seconds since 1970."""

    template: Template
    event: TokenEvent
    signing_input: bytes
    issued_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Decides about requests and records the results. `recent` is the cache of facts.

    `changes` are the recent changes of authority.
    """

    signer: Signer
    issuance: Issuance
    rates: TokenLimits
    recent: RecentFacts
    changes: RecentChanges
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    token_bytes: Callable[[int], bytes]

    def record(self, tx: Tx, asked: Sequence[ProvedRequest]) -> Sequence[RecordedToken | Denied | Exception]:
        """Decide about the requests, and record the results, under the shared authority lock.

        The lock keeps the data of the decisions unchanged until the records are durable.
        """
        now = self.now()  # after the lock, because the wait for the lock may take time
        self._renew(tx, asked)
        outdated = [_is_outdated(each, now) for each in asked]
        replayed = _use_up(tx, asked, outdated)
        refusals = Refusals()
        decided = [
            ProofOutdated() if is_outdated else self._decide(tx, each, refusals, now, used)
            for each, used, is_outdated in zip(asked, replayed, outdated, strict=True)
        ]
        kids: Mapping[Algorithm, str] = {}
        if any(isinstance(each, Template) for each in decided):  # refusals need no key
            kids = self.signer.active_kids(tx)
        outcomes = [
            self._prepared(of, each, kids, now) if isinstance(each, Template) else each
            for of, each in zip(asked, decided, strict=True)
        ]
        audit.record_all(tx, [each.event for each in outcomes if isinstance(each, RecordedToken)])
        refusals.count(tx, now)
        return outcomes

    def _renew(self, tx: Tx, asked: Sequence[ProvedRequest]) -> None:
        """Replace outdated facts by the facts that this transaction sees. All missing facts are read together."""
        found: dict[Subject, KeptFacts] = {}
        missing: dict[Subject, TokenRequest] = {}
        begun = self.monotonic()
        stale = [each for each in asked if not each.kept.are_of(tx) and not self._carry(each, tx)]
        for each in stale:
            recent = self.recent.of(each.request, begun)
            if recent is not None and recent.are_of(tx):
                found[each.request.subject] = recent
            else:
                missing[each.request.subject] = each.request
        if missing:
            facts = load_all_facts(tx, [*missing.values()], self.issuance.limits.default_audience)
            for (subject, request), its in zip(missing.items(), facts, strict=True):
                found[subject] = self.recent.with_templates(request, KeptFacts(its, begun))
        for each in stale:
            each.kept, each.is_renewed = found[each.request.subject], True

    def _carry(self, asked: ProvedRequest, tx: Tx) -> bool:
        """Use the facts further if no change since they were read concerned the client. Return whether this is so."""
        if not self.changes.spared(asked.request.client_id, asked.kept.state, tx.state):
            return False
        asked.kept = asked.kept.at(tx)
        return True

    def _decide(
        self, tx: Tx, asked: ProvedRequest, refusals: Refusals, now: datetime, replayed: Denied | None
    ) -> Template | Denied:
        """Return the template of the granted token, or the refusal. A refusal is recorded or counted."""
        # A replay comes first. Otherwise an attacker could use up the client's limit by replaying old evidence.
        steps = asked.request.steps
        if steps is not None:
            steps.begin(DECIDE)
        outcome = replayed or self._over_limit(asked) or self._granted(asked, now)
        if steps is not None:
            steps.end(DECIDE)
        if isinstance(outcome, Denied):
            outcome = explained(tx, outcome)
            refusals.add(tx, asked.request, asked.kept.facts, asked.proved, outcome, now)
        return outcome

    def _granted(self, asked: ProvedRequest, now: datetime) -> Template | Denied:
        """Decide about the request. If the same decision was made before with these facts, return its template.

        A token that is bound to a key has a template of its own: a client may have a new key for each request.
        """
        request, kept, proved = asked.request, asked.kept, asked.proved
        if request.dpop is not None:
            return self._bound(request, kept.facts, proved, request.dpop.thumbprint, now)
        key = key_of(proved, request.actions)
        template = kept.templates.get(key)
        if template is not None and template.is_valid(now):
            return template
        outcome = decide(kept.facts, proved, request.actions, request.resources, self.issuance.limits, now)
        if isinstance(outcome, Denied):
            return outcome
        template = template_of(kept.facts, outcome, self.issuance, now)
        if template.is_valid(now):
            if len(kept.templates) >= MOST_TEMPLATES:
                kept.templates.clear()
            kept.templates[key] = template
        return template

    def _bound(
        self, request: TokenRequest, facts: Facts, proved: Proved, thumbprint: str, now: datetime
    ) -> Template | Denied:
        limits = self.issuance.limits
        outcome = decide(facts, proved, request.actions, request.resources, limits, now, thumbprint=thumbprint)
        return outcome if isinstance(outcome, Denied) else template_of(facts, outcome, self.issuance, now)

    def _over_limit(self, asked: ProvedRequest) -> Denied | None:
        """Charge the client's rate limit. Return the refusal of a request over the limit."""
        request = asked.request
        if asked.wait is None:  # a repeated transaction must not charge again
            attested = asked.proved.attested
            asked.wait = self.rates.charge_client(request.client_id, request.address, attested=attested)
        return too_often(asked.wait) if asked.wait else None

    def _prepared(
        self, asked: ProvedRequest, template: Template, kids: Mapping[Algorithm, str], now: datetime
    ) -> RecordedToken | Unavailable:
        try:
            kid = keys.of_algorithm(kids, template.algorithm)
        except Unavailable as failure:
            return failure
        jti, issued_at = ordered_octets(16, now, self.token_bytes).hex(), int(now.timestamp())
        version = asked.kept.facts.version  # of the decision, so that each later revocation covers the token
        unsigned = template.signing_input(kid, issued_at, jti, version)
        event = TokenEvent(
            template=template.event,
            at=now,
            request_id=asked.request.request_id,
            address=asked.request.address,
            jti=jti,
            kid=kid,
            token_sha256=sha256(unsigned).hexdigest(),
            expires_at=now.replace(microsecond=0) + timedelta(seconds=template.lifetime),
            authority_version=version,
        )
        return RecordedToken(template=template, event=event, signing_input=unsigned, issued_at=issued_at)


def _use_up(tx: Tx, asked: Sequence[ProvedRequest], outdated: Sequence[bool]) -> list[Denied | None]:
    """Use up the assertion and the DPoP proof of each request. Return the refusals of those that were used before."""
    evidence = [
        (each.request.client_id, None if is_outdated else each.proved.single_use)
        for each, is_outdated in zip(asked, outdated, strict=True)
    ]
    bound = {
        number: each.request.dpop
        for number, each in enumerate(asked)
        if each.request.dpop is not None and not outdated[number]
    }
    proofs = [(dpop.USED_BY, dpop.single_use(proof)) for proof in bound.values()]
    fresh = attestation.use_once(tx, [*evidence, *proofs])  # one statement
    refused = [None if is_fresh else _USED_ASSERTION for is_fresh in fresh[: len(asked)]]
    for number, is_fresh in zip(bound, fresh[len(asked) :], strict=True):
        if not is_fresh:
            refused[number] = refused[number] or _USED_PROOF
    return refused


def _is_outdated(asked: ProvedRequest, now: datetime) -> bool:
    """Whether the proof is no longer valid with the newer facts. A new check may find another valid proof."""
    if asked.is_last or not asked.is_renewed or asked.kept.facts.client is None:
        return False
    its = asked.kept.facts.client
    return not (still_proves(its, asked.proved, now) and still_trusted(asked.kept.facts, asked.proved))


def explained(tx: Tx, denied: Denied) -> Denied:
    """Return the refusal, and mark which of its missing actions are unknown.

    An action is unknown if no role and no API has it. A new delegation could not allow an unknown action.
    """
    if not denied.missing:
        return denied
    return with_unknown(denied, {*roles.held(tx, denied.missing), *apis.described(tx, among=denied.missing)})
