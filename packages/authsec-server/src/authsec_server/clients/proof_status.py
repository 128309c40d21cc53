"""The status of a proof: whether it is valid, who else can satisfy it, and which clients share it.

The preview gives the same answers for selectors that a person is still typing. The preview has the rules of
`binding_matching.with_trusted_issuer`, but is pure and raises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from authsec_server.audit.model import Named
from authsec_server.clients import binding_store
from authsec_server.clients.binding_matching import chosen, fits, preferred, require_suitable, what_fits, what_proves
from authsec_server.clients.model import Client, Platform, Proof, ProofKind, Selector
from authsec_server.clients.proofs import platform_of
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.issuers.model import Provenance, TrustedIssuer, provenance, shown_provenance


class ProofState(StrEnum):
    """Whether the client can authenticate by the proof."""

    PROVES = "proves"
    WEAK = "weak"  # a reader of the secret, or a user of the enrolled machine, can authenticate
    CANNOT_PROVE = "cannot_prove"
    TRUSTED_ISSUER_DISABLED = "trusted_issuer_disabled"
    UNATTESTED = "unattested"  # anybody who knows the client_id can authenticate
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorStatus:
    """A selector, and how its trusted issuer proves it. `provenance` is None without a trusted issuer."""

    selector: Selector
    provenance: Provenance | None = None

    @property
    def shown(self) -> str:
        """Describe in words how the selector is proved."""
        return shown_provenance(self.selector.key, self.provenance) if self.provenance else "no trusted issuer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofStatus:
    """The status of a proof, in words for people.

    `heading` has two or three words, and `explanation` is a sentence. `missing` says what the proof lacks.
    `caution` says which other workloads satisfy the selectors, if any. `selectors` says how each selector is
    proved, in the order of the proof. For an expired proof, `selectors` is empty.
    """

    state: ProofState
    heading: str
    explanation: str
    missing: str = ""
    caution: str = ""
    selectors: tuple[SelectorStatus, ...] = ()


_KEY_PAIR = ProofStatus(
    state=ProofState.PROVES,
    heading="Proved by signature",
    explanation="The agent signs each token request with its private key. The private key never leaves the agent's "
    "machine. This authority verifies the signature with the public key.",
)
_UNATTESTED = ProofStatus(
    state=ProofState.UNATTESTED,
    heading="Proves nothing",
    explanation="Anybody who knows the Client ID can authenticate as the client: a Client ID is a name, not a secret.",
    missing="Give the client a key pair, then remove this proof.",
)
_SECRET = ProofStatus(
    state=ProofState.WEAK,
    heading="Weak: a secret",
    explanation="The agent sends a secret that was shown once, when it was created; this authority stores only a "
    "hash. Anybody who reads the secret can use it until it is rotated. If the agent can sign, a key pair is "
    "stronger.",
)
_EXPIRED = ProofStatus(
    state=ProofState.EXPIRED,
    heading="Expired",
    explanation="This proof is no longer accepted.",
    missing="If the client needs another proof, add the other proof. Then remove this proof.",
)


_ENROLLED_ONCE = ProofStatus(
    state=ProofState.EXPIRED,
    heading="Expired",
    explanation="The enrolled key has expired and is no longer accepted. The next enrolment removes this key.",
)


def proof_status(proof: Proof, trusted_issuer: TrustedIssuer | None, now: datetime) -> ProofStatus:
    """Return the status of the proof at the time `now`. `trusted_issuer` is None if the proof has no issuer."""
    if not proof.is_valid(now):
        return _ENROLLED_ONCE if proof.kind is ProofKind.ENROLLED_KEY else _EXPIRED
    return _worth(proof, trusted_issuer)


def removal_caution(client: Client, proof: Proof, now: datetime) -> str:
    """Return a warning if the client gets no token after the removal of the proof. Return "" otherwise."""
    rest = replace(client, proofs=tuple(each for each in client.proofs if each.id != proof.id))
    worked, works = (each.can_prove_itself(now) or each.unattested(now) for each in (client, rest))
    if not rest.proofs:
        return (
            f"This is the last proof of {client.name}. Without this proof, the client gets no token until it has "
            "another proof."
        )
    if worked and not works:
        return (
            f"No other proof of {client.name} can be checked. Without this proof, the client gets no token until "
            "another proof can be checked."
        )
    return ""


def _worth(proof: Proof, trusted_issuer: TrustedIssuer | None) -> ProofStatus:
    if proof.kind is ProofKind.ENROLLED_KEY:
        return _enrolled(proof)
    if proof.kind is ProofKind.SELECTORS:
        status = (
            _without_trusted_issuer(proof) if trusted_issuer is None else _with_trusted_issuer(proof, trusted_issuer)
        )
        return replace(status, caution=breadth(proof.selectors))
    return {ProofKind.KEY_PAIR: _KEY_PAIR, ProofKind.UNATTESTED: _UNATTESTED, ProofKind.SECRET: _SECRET}[proof.kind]


def _enrolled(proof: Proof) -> ProofStatus:
    machine = f"The machine {proof.machine!r}" if proof.machine else "A machine"
    return ProofStatus(
        state=ProofState.WEAK,
        heading="Enrolled for some hours",
        explanation=f"{machine} created this key, with a one-time code from {proof.enrolled_by}. Until the key "
        "expires, anybody who runs programs on that machine can act as this agent.",
    )


def _with_trusted_issuer(proof: Proof, trusted_issuer: TrustedIssuer) -> ProofStatus:
    shown = tuple(
        SelectorStatus(selector=each, provenance=provenance(trusted_issuer, each.key)) for each in proof.selectors
    )
    never = next((each.selector.key for each in shown if each.provenance is Provenance.NEVER), "")
    name = f"The {trusted_issuer.kind.shown} {trusted_issuer.name!r}"
    if never:  # the trusted issuer was edited after the proof was added
        return ProofStatus(
            state=ProofState.CANNOT_PROVE,
            heading="Not proved",
            explanation=f"{name} is not set up to prove {never}. All selectors of a proof must be proved.",
            missing=what_proves([never], trusted_issuer),
            selectors=shown,
        )
    if not trusted_issuer.enabled:
        return ProofStatus(
            state=ProofState.TRUSTED_ISSUER_DISABLED,
            heading="Trusted issuer disabled",
            explanation=f"{name} can prove all of these selectors, but this trusted issuer is disabled.",
            missing=f"Enable the trusted issuer {trusted_issuer.name!r}, or give the client a key pair.",
            selectors=shown,
        )
    if not proof.trusted_issuer_enabled:  # an edit of the enabled issuer made the proof invalid
        return ProofStatus(
            state=ProofState.CANNOT_PROVE,
            heading="Not proved",
            explanation=f"{name} was edited after this proof was added, and can no longer prove the workload of "
            "this proof.",
            missing="Add a proof with a trusted issuer that can prove the workload, and remove this proof.",
            selectors=shown,
        )
    return ProofStatus(
        state=ProofState.PROVES,
        heading="Proved by a trusted issuer",
        explanation=f"{name} proves all of these selectors. This authority verifies the tokens of that trusted issuer.",
        selectors=shown,
    )


def _without_trusted_issuer(proof: Proof) -> ProofStatus:
    platform = platform_of(proof)
    return ProofStatus(
        state=ProofState.CANNOT_PROVE,
        heading="Not proved",
        explanation=f"Selectors of {platform.shown} need a trusted issuer that can prove them.",
        missing=f"This proof has no trusted issuer yet. {what_fits(platform)}. Until then, the agent can use a key "
        "pair to get tokens.",
        selectors=tuple(SelectorStatus(selector=each) for each in proof.selectors),
    )


# The claims that identify the project of a CI job. A job can choose the values of its other claims.
_JOBS: Mapping[str, tuple[str, str, frozenset[str]]] = {
    "github:": (
        "repository",
        "github:repository_id",
        frozenset({"repository", "repository_id", "repository_owner", "repository_owner_id", "workflow_ref"}),
    ),
    "gitlab:": (
        "project",
        "gitlab:project_id",
        frozenset({"project_path", "project_id", "namespace_path", "namespace_id", "ci_config_ref_uri"}),
    ),
}


def breadth(selectors: Sequence[Selector]) -> str:
    """Return a warning if other workloads could act as the agent, and name the selector to add.

    Return "" if the selectors are narrow enough.
    """
    seen = {each.key: each.value for each in selectors}
    if any(key.startswith("k8s:") for key in seen):
        return _of_pods(seen)
    return next(
        (_of_jobs(seen, beginning) for beginning in _JOBS if any(key.startswith(beginning) for key in seen)), ""
    )


def _of_pods(seen: Mapping[str, str]) -> str:
    """Return a warning if other pods can satisfy the selectors.

    Return "" if the selectors name one pod, or both a service account and a namespace. Other selectors are not
    enough: users who may create pods in a namespace choose the pods' names, labels and images.
    """
    if "k8s:pod-uid" in seen:
        return ""
    if "k8s:sa" in seen:
        named = f"A service account {seen['k8s:sa']} in any namespace could act as this agent: add k8s:ns."
        return "" if "k8s:ns" in seen else named
    where, add = "the cluster", "k8s:ns and k8s:sa"
    if "k8s:ns" in seen:
        where, add = f"namespace {seen['k8s:ns']}", "k8s:sa"
    made = "" if seen.keys() == {"k8s:ns"} else " with matching values"
    return f"Every pod of {where}{made} could act as this agent: add {add}."


def _of_jobs(seen: Mapping[str, str], beginning: str) -> str:
    what, add, naming = _JOBS[beginning]
    if "oidc:sub" in seen or any(beginning + each in seen for each in naming):
        return ""
    return f"Jobs of any {what} at the trusted issuer could act as this agent: add {add}."


def sharing(tx: Tx, client: Client) -> dict[str, tuple[Named, ...]]:
    """Return the other clients with an equal proof, in name order. The keys are the ids of this client's proofs."""
    shared = {proof.id: _holders(tx, proof) for proof in client.proofs if proof.kind is ProofKind.SELECTORS}
    return {proof_id: holders for proof_id, holders in shared.items() if holders}


def _holders(tx: Tx, proof: Proof) -> tuple[Named, ...]:
    if proof.trusted_issuer_id is None:
        return ()
    asked = frozenset(proof.selectors)
    found = binding_store.of_trusted_issuer_with(tx.connection, proof.trusted_issuer_id, _rarest(proof))
    alike = {
        holder.id: holder
        for holder, other in found
        if holder.id != proof.client_id and frozenset(other.selectors) == asked
    }
    return tuple(alike.values())


def _rarest(proof: Proof) -> str:
    """Return the selector value that probably occurs in the fewest proofs: the longest one.

    Only values that JSON writes unchanged are used. Return "" if the proof has no such value.
    """
    plain = [each.value for each in proof.selectors if each.value.isascii() and not set(each.value) & {'"', "\\"}]
    return max(plain, key=len, default="")


class PreviewState(StrEnum):
    """The expected result if the proof is stored as typed."""

    PROVED = "proved"  # by `trusted_issuer`
    NO_ISSUER = "no_issuer"  # no trusted issuer fits: the proof is stored, but cannot be used yet
    CHOICE = "choice"  # several trusted issuers can prove it: the request must name one
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofPreview:
    """Preview of a proof: the trusted issuer, and how the issuer proves each selector, in the order given.

    `problem` and `remedy` are set in two cases: the request must name a trusted issuer, or the server would
    refuse the proof.
    """

    state: PreviewState
    trusted_issuer: TrustedIssuer | None = None
    selectors: tuple[SelectorStatus, ...] = ()
    problem: str = ""
    remedy: str = ""

    @property
    def caution(self) -> str:
        """Return which other workloads or jobs could act as the agent. Return "" if no others could."""
        return breadth([each.selector for each in self.selectors])


def preview_proof(
    platform: Platform,
    selectors: Sequence[Selector],
    registered: Sequence[TrustedIssuer],
    *,
    named: str = "",
    trust_domain: str,
) -> ProofPreview:
    """Return the preview for these selectors.

    `registered` are the trusted issuers that suit the platform. `named` is the id of the issuer that the person
    has chosen. Without selectors, the preview names a trusted issuer only if exactly one fits,
    or exactly one that is enabled.
    """
    fitting = [
        trusted_issuer for trusted_issuer in registered if fits(platform, selectors, trusted_issuer, trust_domain)
    ]
    if named:
        return _of_named(platform, selectors, registered, named, trust_domain)
    if not selectors:
        return _of_nothing(fitting)
    try:
        trusted_issuer = chosen(platform, selectors, registered, trust_domain)
    except Invalid as problem:
        if problem.field == "trusted_issuer":
            return ProofPreview(state=PreviewState.CHOICE, problem=problem.message, remedy=problem.remedy)
        return _refused(selectors, fitting[0], problem)
    return _proved(selectors, trusted_issuer) if trusted_issuer else _waiting(selectors)


def _of_named(
    platform: Platform,
    selectors: Sequence[Selector],
    registered: Sequence[TrustedIssuer],
    named: str,
    trust_domain: str,
) -> ProofPreview:
    trusted_issuer = next((each for each in registered if each.id == named), None)
    if trusted_issuer is None:
        return ProofPreview(
            state=PreviewState.REFUSED,
            problem="This trusted issuer no longer exists.",
            remedy="Choose another trusted issuer.",
        )
    try:
        require_suitable(platform, selectors, trusted_issuer, trust_domain)
    except Invalid as problem:
        return _refused(
            selectors if fits(platform, selectors, trusted_issuer, trust_domain) else (), trusted_issuer, problem
        )
    return _proved(selectors, trusted_issuer)


def _of_nothing(fitting: Sequence[TrustedIssuer]) -> ProofPreview:
    if not fitting:
        return _waiting(())
    best = preferred(fitting)
    return _proved((), best[0]) if len(best) == 1 else ProofPreview(state=PreviewState.CHOICE)


def _waiting(selectors: Sequence[Selector]) -> ProofPreview:
    return ProofPreview(
        state=PreviewState.NO_ISSUER, selectors=tuple(SelectorStatus(selector=each) for each in selectors)
    )


def _proved(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer) -> ProofPreview:
    return ProofPreview(
        state=PreviewState.PROVED, trusted_issuer=trusted_issuer, selectors=_proved_by(selectors, trusted_issuer)
    )


def _refused(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer, problem: Invalid) -> ProofPreview:
    return ProofPreview(
        state=PreviewState.REFUSED,
        trusted_issuer=trusted_issuer,
        selectors=_proved_by(selectors, trusted_issuer),
        problem=problem.message,
        remedy=problem.remedy,
    )


def _proved_by(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer) -> tuple[SelectorStatus, ...]:
    return tuple(SelectorStatus(selector=each, provenance=provenance(trusted_issuer, each.key)) for each in selectors)
