"""One token before one trust source, as `workloads` judges it; but step by step, and going on where that stops.

It asks the same questions, by the same functions and in the same order. What it finds is told, and used for nothing: it
remembers no evidence, uses none up, and gives nobody a token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from authsec.jose import UnverifiedJws

from authsec_server.attestation.clusters import GONE, Clusters
from authsec_server.attestation.model import Evidence, Scheme, Verified
from authsec_server.attestation.trial.model import Step, StepName, StepState, visible
from authsec_server.attestation.workload_tokens import CLAIM_CHECKS, FindKey, Kind, signed_by, speaks_for
from authsec_server.attestation.workloads import KINDS
from authsec_server.failures import Unavailable
from authsec_server.sources.lookups import LookupUnavailable
from authsec_server.sources.model import KeysUnavailable, SourceKind, TrustSource

T = TypeVar("T")
_GOOD = {
    "issuer": "Its issuer is this trust source's.",
    "audience": "It is for this authority, and for nobody else.",
    "times": "It counts now.",
    "binding": "",  # what nobody has heard of need not be said to be in order
}
_FIRST = "What comes before has to hold first."
_NAMED = 3  # sources


class Hearing:
    """`steps` are what was asked so far. `audience` is what the source's tokens must be for, `others` are sources that
    the token may have been meant for.
    """

    def __init__(self, source: TrustSource, others: Sequence[TrustSource], *, audience: str, now: datetime) -> None:
        self.steps: list[Step] = []
        self._source = source
        self._others = others
        self._kind: Kind = KINDS[source.kind]
        self._audience = audience
        self._now = now

    def note(self, name: StepName, problem: str, good: str) -> bool:
        """Add a step, which holds if there is no problem. What a problem tells to copy stands on lines of its own."""
        said, _, example = (problem or good).partition("\n")
        state = StepState.FAILS if problem else StepState.HOLDS
        if said:
            self.steps.append(Step(name=name, state=state, said=said, example=example))
        return not problem

    def signed(self, token: UnverifiedJws, find_key: FindKey) -> bool:
        """Whether the source speaks here, by one of its keys. If not, nothing else in it is worth a question."""
        if not self._source.enabled:
            self.note(StepName.SOURCE, "This trust source is disabled: its word counts for nobody.", "")
        if not speaks_for(self._source, token.claims):
            return self.note(StepName.ISSUER, self._of_another(token.claims), "")
        kid = token.header["kid"]
        try:
            key = find_key(self._source, kid)
        except KeysUnavailable as error:
            self._unknown(StepName.SIGNATURE, error.sentence)
            return False
        named, problem = f"`{visible(kid)}`", ""
        if key is None:
            anew = "paste them anew under Edit" if self._source.given_keys is not None else "fetch them now"
            problem = f"It names the key {named}, which is none of this source's. If the keys were renewed, {anew}."
        elif not signed_by(token, key):
            problem = f"This source's key {named} did not sign it: it is another's, or was changed on the way."
        return self.note(
            StepName.SIGNATURE,
            f"{problem}{self._elsewhere(token.claims)}" if problem else "",
            f"Signed with this source's key {named}.",
        )

    def _of_another(self, claims: Mapping[str, Any]) -> str:
        named = claims.get("sub" if self._source.kind is SourceKind.SPIFFE else "iss")
        whose = f"`{visible(named)}`" if isinstance(named, str) else "nobody"
        return f"It says that it is of {whose}; this source is `{self._source.issuer}`.{self._elsewhere(claims)}"

    def _elsewhere(self, claims: Mapping[str, Any]) -> str:
        """Where else it may have been meant to be tried."""
        named = [f"{other.name!r} ({other.slug})" for other in self._others if speaks_for(other, claims)]
        return f" Try it at the trust source {' or '.join(named[:_NAMED])}." if named else ""

    def verified(self, token: UnverifiedJws) -> Verified | None:
        """What the claims say of the workload; None where they cannot be read. An expired token is read, too."""
        for name, check in CLAIM_CHECKS.items():
            problem = check(token.claims, self._source, self._kind, self._audience, self._now.timestamp())
            self.note(StepName(name), problem, _GOOD[name])
        selectors = self._kind.read(token.claims, self._source)
        if isinstance(selectors, str):
            self.note(StepName.CLAIMS, selectors, "")
            return None
        self.note(StepName.CLAIMS, "", "What it says of the workload can be read.")
        return Verified(
            source_id=self._source.id,
            source_revision=self._source.revision,
            kind=self._source.kind,
            selectors=selectors,
            until=self._now,  # nothing of it is kept
            bound=self._kind.bound(token.claims) if self._kind.bound else None,
        )

    def looked_up(self, verified: Verified, credential: str, clusters: Clusters | None) -> Verified:
        """The same with what the cluster says beside it. It is asked of good tokens only, as for agents."""
        cluster, bound = self._source.cluster, verified.bound
        if cluster is None or bound is None or clusters is None:
            return verified
        evidence = Evidence(scheme=Scheme.BEARER, credential=credential)
        if cluster.reviews:
            counts = self._asked(
                StepName.REVIEW, lambda: clusters.still_counts(self._source, evidence, bound, self._audience)
            )
            if counts is not None:
                self.note(StepName.REVIEW, "" if counts else GONE, "The cluster says that it still counts.")
        if cluster.pods:
            told = self._asked(StepName.POD, lambda: (clusters.pod(self._source, bound),))
            if told is not None:
                self.note(StepName.POD, "" if told[0] is not None else GONE, "Its pod was looked up.")
                return replace(verified, selectors=verified.selectors | (told[0] or frozenset()), looked_up=True)
        return verified

    def _asked(self, name: StepName, ask: Callable[[], T]) -> T | None:
        """The cluster's answer; None, with the step that says why, where there is none."""
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
        self.steps.append(Step(name=name, state=StepState.UNKNOWN, said=f"This cannot be told at the moment. {why}"))
