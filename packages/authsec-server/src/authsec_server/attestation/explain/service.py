"""`TokenExplainer`: test a workload's token, which an administrator pastes on the page of a trusted issuer.

The result shows each check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from authsec.jose import JoseError, UnverifiedJws, parse_compact

from authsec_server import naming
from authsec_server.attestation.cluster import GONE, Clusters
from authsec_server.attestation.explain.model import (
    Nearest,
    Satisfied,
    Shown,
    Step,
    StepName,
    StepState,
    TokenExplanation,
    summarise_claims,
    visible,
)
from authsec_server.attestation.explain.pasted import NoToken, Pasted, read_pasted
from authsec_server.attestation.kinds import KINDS
from authsec_server.attestation.matching import compare
from authsec_server.attestation.model import Evidence, Miss, Proved, Scheme, Verified
from authsec_server.attestation.service import MAX_BYTES
from authsec_server.attestation.workload_tokens import CLAIM_CHECKS, FindKey, Kind, is_issuer_of, malformed, signed_by
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import bindings
from authsec_server.clients import service as clients
from authsec_server.clients.bindings import BoundProof
from authsec_server.clients.model import spiffe_id
from authsec_server.db import Database, Tx
from authsec_server.db.served import proved
from authsec_server.failures import Unavailable
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import (
    KeysUnavailable,
    LookupUnavailable,
    TrustedIssuer,
    TrustedIssuerKind,
    provenance,
)
from authsec_server.principal import Act, Role
from authsec_server.web.throttle import WHOLE, Share, Throttle

T = TypeVar("T")
_GOOD = {
    "issuer": "The token's `iss` is the issuer of this trusted issuer.",
    "audience": "The token's audience is this authority, and nothing else.",
    "times": "The token is valid now.",
    "binding": "",  # what nobody has heard of need not be said to be in order
}
_FIRST = "Not checked, because an earlier check failed."
_NAMED = 3  # trusted issuers


class TokenSteps:
    """A token test in progress; `steps` has the steps so far.

    `audience` is the audience that tokens of the trusted issuer must have. `others` are further trusted issuers
    that the token may belong to.
    """

    def __init__(
        self, trusted_issuer: TrustedIssuer, others: Sequence[TrustedIssuer], *, audience: str, now: datetime
    ) -> None:
        self.steps: list[Step] = []
        self._trusted_issuer = trusted_issuer
        self._others = others
        self._kind: Kind = KINDS[trusted_issuer.kind]
        self._audience = audience
        self._now = now

    def note(self, name: StepName, problem: str, good: str) -> bool:
        """Add a step to the test, and return whether there is no problem. The step fails if `problem` is not empty.

        `problem` or `good` is the text of the step. The further lines of this text are an example to copy. Without
        any text, no step is added.
        """
        said, _, example = (problem or good).partition("\n")
        state = StepState.FAILS if problem else StepState.HOLDS
        if said:
            self.steps.append(Step(name=name, state=state, said=said, example=example))
        return not problem

    def signed(self, token: UnverifiedJws, find_key: FindKey) -> bool:
        """Check the issuer and the signature, and return whether both are valid.

        If the result is False, the caller does not check the claims.
        """
        if not self._trusted_issuer.enabled:
            self.note(StepName.TRUSTED_ISSUER, "This trusted issuer is disabled: its tokens are not accepted.", "")
        if not is_issuer_of(self._trusted_issuer, token.claims):
            return self.note(StepName.ISSUER, self._of_another(token.claims), "")
        kid = token.header["kid"]
        try:
            key = find_key(self._trusted_issuer, kid)
        except KeysUnavailable as error:
            self._unknown(StepName.SIGNATURE, error.sentence)
            return False
        named, problem = f"`{visible(kid)}`", ""
        if key is None:
            anew = (
                "paste the new keys under Edit"
                if self._trusted_issuer.given_keys is not None
                else "fetch the new keys now"
            )
            problem = (
                f"The token names the key {named}, which this trusted issuer does not have. If the issuer has new "
                f"keys, {anew}."
            )
        elif not signed_by(token, key):
            problem = (
                f"This trusted issuer's key {named} did not sign the token. Another issuer made the token, or the "
                "token was changed."
            )
        return self.note(
            StepName.SIGNATURE,
            f"{problem}{self._elsewhere(token.claims)}" if problem else "",
            f"Signed with this trusted issuer's key {named}.",
        )

    def _of_another(self, claims: Mapping[str, Any]) -> str:
        named = claims.get("sub" if self._trusted_issuer.kind is TrustedIssuerKind.SPIFFE else "iss")
        whose = f"`{visible(named)}`" if isinstance(named, str) else "nobody"
        its = self._trusted_issuer.issuer
        return f"The token's issuer is {whose}; this trusted issuer is `{its}`.{self._elsewhere(claims)}"

    def _elsewhere(self, claims: Mapping[str, Any]) -> str:
        """Suggest other trusted issuers at which to test the token; empty if none matches."""
        named = [f"{other.name!r} ({other.slug})" for other in self._others if is_issuer_of(other, claims)]
        return f" Test it with the trusted issuer {' or '.join(named[:_NAMED])}." if named else ""

    def verified(self, token: UnverifiedJws) -> Verified | None:
        """Check the claims, and return the selectors that they prove. The claims of an expired token are read, too.

        Return None if the claims about the workload cannot be read.
        """
        for name, check in CLAIM_CHECKS.items():
            problem = check(token.claims, self._trusted_issuer, self._kind, self._audience, self._now.timestamp())
            self.note(StepName(name), problem, _GOOD[name])
        selectors = self._kind.read(token.claims, self._trusted_issuer)
        if isinstance(selectors, str):
            self.note(StepName.CLAIMS, selectors, "")
            return None
        self.note(StepName.CLAIMS, "", "The token's claims about the workload are readable.")
        return Verified(
            trusted_issuer_id=self._trusted_issuer.id,
            trusted_issuer_revision=self._trusted_issuer.revision,
            kind=self._trusted_issuer.kind,
            selectors=selectors,
            until=self._now,  # nothing of it is kept
            bound=self._kind.bound(token.claims) if self._kind.bound else None,
        )

    def looked_up(self, verified: Verified, credential: str, clusters: Clusters | None) -> Verified:
        """Return `verified` with the selectors from the cluster.

        The token is sent to the cluster only if all earlier steps succeeded, as for the token of an agent.
        """
        cluster, bound = self._trusted_issuer.cluster, verified.bound
        if cluster is None or bound is None or clusters is None:
            return verified
        evidence = Evidence(scheme=Scheme.BEARER, credential=credential)
        if cluster.reviews:
            counts = self._asked(
                StepName.REVIEW, lambda: clusters.is_still_valid(self._trusted_issuer, evidence, bound, self._audience)
            )
            if counts is not None:
                self.note(StepName.REVIEW, "" if counts else GONE, "The cluster says that the token is still valid.")
        if cluster.pods:
            told = self._asked(StepName.POD, lambda: (clusters.pod(self._trusted_issuer, bound),))
            if told is not None:
                self.note(StepName.POD, "" if told[0] is not None else GONE, "The token's pod was looked up.")
                return replace(verified, selectors=verified.selectors | (told[0] or frozenset()), looked_up=True)
        return verified

    def _asked(self, name: StepName, ask: Callable[[], T]) -> T | None:
        """Return the result of `ask`, a question to the cluster.

        If an earlier step failed or the cluster does not answer, add a step with the reason and return None.
        """
        if any(step.state is not StepState.HOLDS for step in self.steps):
            self.steps.append(Step(name=name, state=StepState.SKIPPED, said=_FIRST))
            return None
        try:
            return ask()
        except Unavailable as error:
            why = error.__cause__
            self._unknown(name, why.sentence if isinstance(why, LookupUnavailable) else error.message)
            return None

    def _unknown(self, name: StepName, why: str) -> None:
        self.steps.append(
            Step(name=name, state=StepState.UNKNOWN, said=f"This step cannot be checked right now. {why}")
        )


A_MINUTE: Final = 30  # of one person or admin key: each may have a cluster asked
COMPARED: Final = 5_000  # proofs
_NEAREST: Final = 3
_LISTED: Final = 50  # proofs that are satisfied, and selectors


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidates:
    """The data that a test compares with the token.

    `others` are all other trusted issuers. `held` are the unexpired proofs that name `trusted_issuer`. `more`
    says that there are further proofs.
    """

    trusted_issuer: TrustedIssuer
    others: Sequence[TrustedIssuer]
    held: Sequence[BoundProof]
    more: bool


class TokenExplainer:
    """Tests of tokens. Never call inside a transaction: a test may fetch keys and ask a cluster.

    The methods block their thread. `clusters` must not cache answers.
    """

    def __init__(
        self,
        database: Database,
        find_key: FindKey,
        *,
        clusters: Clusters | None,
        issuer: str,
        trust_domain: str,
        monotonic: Callable[[], float],
        share: Share = WHOLE,
    ) -> None:
        self._database = database
        self._find_key = find_key
        self._clusters = clusters
        self._issuer = issuer
        self._trust_domain = trust_domain
        self._throttle = Throttle(share.of(A_MINUTE), "Too many tokens were tested in a minute.", monotonic=monotonic)

    def try_token(self, act: Act, id_or_slug: str, pasted: str) -> TokenExplanation:
        """Test the token, and record the test before the result is returned. Raises `NotFound` or `TooOften`."""
        act.principal.require(Role.OPERATOR)
        self._throttle.charge(f"{act.principal.kind} {act.principal.id}")
        found = self._database.read(lambda tx: _candidates(tx, act, id_or_slug))
        explanation = self._tried(found, pasted, act.now)
        trusted_issuer = Named(id=found.trusted_issuer.id, name=found.trusted_issuer.name)
        self._database.append(
            lambda tx: audit.record_act(
                tx, act, EventKind.ISSUER_TRIED, subject=trusted_issuer, detail=explanation.detail
            )
        )
        return explanation

    def _tried(self, found: _Candidates, text: str, now: datetime) -> TokenExplanation:
        pasted = read_pasted(text)
        if isinstance(pasted, NoToken):
            step = Step(name=StepName.FORM, state=StepState.FAILS, said=f"{pasted.said} {pasted.remedy}")
            return TokenExplanation(trusted_issuer=found.trusted_issuer, steps=(step,))
        audience = found.trusted_issuer.audience or proved(self._issuer)
        steps = TokenSteps(found.trusted_issuer, found.others, audience=audience, now=now)
        explanation = TokenExplanation(trusted_issuer=found.trusted_issuer, notes=pasted.notes)
        token = self._parsed(steps, pasted, found.trusted_issuer)
        if token is None:
            return replace(explanation, steps=tuple(steps.steps))
        explanation = replace(explanation, said=summarise_claims(token.claims))
        verified = None
        if steps.steps[-1].state is StepState.HOLDS and steps.signed(token, self._find_key):
            verified = steps.verified(token)
        if verified is not None:
            verified = steps.looked_up(verified, pasted.token, self._clusters)
            explanation = self._compared(explanation, verified, found)
        return replace(explanation, steps=tuple(steps.steps))

    def _parsed(self, steps: TokenSteps, pasted: Pasted, trusted_issuer: TrustedIssuer) -> UnverifiedJws | None:
        """Parse the token and add the first step, which is about the form of the token. Return None for other text."""
        try:
            token = parse_compact(pasted.token, max_bytes=MAX_BYTES)
        except JoseError as error:
            problem = (
                f"This is not a signed JWT of at most {MAX_BYTES:,} bytes: {error}. Check that the whole token was "
                "copied."
            )
            steps.note(StepName.FORM, problem, "")
            return None
        problem = malformed(token)
        if not is_issuer_of(trusted_issuer, token.claims):
            problem = self._of_our_own(token) or problem
        steps.note(StepName.FORM, problem, f"A signed JWT ({token.header['alg']}).")
        return token

    def _of_our_own(self, token: UnverifiedJws) -> str:
        """Describe a token that is not from a trusted issuer, because an agent or this authority made it.

        Return an empty text for any other token.
        """
        named = token.claims.get("iss")
        if named == self._issuer:
            return (
                "This is a delegation token of this authority. Agents send delegation tokens to APIs; they are not "
                "proofs. Paste the token that the agent gets from its platform."
            )
        if isinstance(named, str) and naming.is_uuid(named) and token.claims.get("sub") == named:
            return (
                "This is an assertion that an agent signed with its own key. Such assertions need no trusted "
                "issuer: the agent's page shows its keys."
            )
        return ""

    def _compared(self, explanation: TokenExplanation, verified: Verified, found: _Candidates) -> TokenExplanation:
        outcomes = [(each, self._held_against(each, found.trusted_issuer, verified)) for each in found.held]
        satisfied = [each for each, outcome in outcomes if not isinstance(outcome, Miss)][:_LISTED]
        misses = [Nearest(client=each.client, miss=miss) for each, miss in outcomes if isinstance(miss, Miss)]
        misses.sort(key=lambda near: near.miss.agreeing, reverse=True)
        enabled = self._database.read(lambda tx: _enabled(tx, satisfied))
        shown = sorted(verified.selectors, key=lambda each: (each.key, each.value))[:_LISTED]
        return replace(
            explanation,
            selectors=tuple(
                Shown(selector=each, provenance=provenance(found.trusted_issuer, each.key)) for each in shown
            ),
            satisfied=tuple(
                Satisfied(client=each.client, proof_id=each.proof.id, enabled=each.client.id in enabled)
                for each in satisfied
            ),
            nearest=tuple(near for near in misses if near.miss.agreeing)[:_NEAREST],
            compared=len(found.held),
            more=found.more,
        )

    def _held_against(self, each: BoundProof, trusted_issuer: TrustedIssuer, verified: Verified) -> Proved | Miss:
        return compare(each.proof, trusted_issuer, verified, spiffe_id(self._trust_domain, each.client.id))


def _candidates(tx: Tx, act: Act, id_or_slug: str) -> _Candidates:
    trusted_issuer = issuers.get(tx, act, id_or_slug)
    held = bindings.bound_to(tx, act, trusted_issuer, limit=COMPARED + 1)
    valid = [each for each in held[:COMPARED] if each.proof.is_valid(act.now)]
    others = [each for each in issuers.of_kinds(tx, [*TrustedIssuerKind]) if each.id != trusted_issuer.id]
    return _Candidates(trusted_issuer=trusted_issuer, others=others, held=valid, more=len(held) > COMPARED)


def _enabled(tx: Tx, held: Sequence[BoundProof]) -> set[str]:
    """Return the ids of the clients that have these proofs and are enabled."""
    found = clients.by_ids(tx, [each.client.id for each in held])
    return {client.id for client in found.values() if client.enabled}
