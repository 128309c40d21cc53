"""The steps of a client to its first token, and the next one. All functions are pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from authsec_server.clients.binding_matching import FITTING, fits, proves
from authsec_server.clients.model import Client, Platform, Proof, ProofKind, Selector
from authsec_server.clients.proofs import platform_of
from authsec_server.delegations.client_state import ClientState
from authsec_server.delegations.model import DelegationState, GrantGap, ResolvedDelegation
from authsec_server.issuers.model import Provenance, TrustedIssuer, TrustedIssuerKind, by_lookup, provenance


class NextStep(StrEnum):
    """The next step of a client. `DONE` means that the client has got a token, and can get more."""

    ENABLE = "enable"
    WAIT = "wait"  # every trusted issuer of the client is unavailable
    PROOF = "proof"
    DELEGATION = "delegation"
    TOKEN = "token"  # noqa: S105 - the name of a step
    DONE = "done"


class Way(StrEnum):
    """How the client gets a proof that this authority can verify. The shortest way comes first."""

    BIND = "bind"  # a trusted issuer can prove the selectors
    ENABLE = "enable"  # the trusted issuer is disabled
    LOOK_UP = "look_up"  # the cluster can prove the selectors with pod look-up
    EDIT = "edit"  # a trusted issuer fits, but its settings do not prove a selector
    REGISTER = "register"  # no trusted issuer fits
    ADD = "add"  # the client has no valid proof


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofStep:
    """The way to a usable proof. `trusted_issuers` are those that the way needs; `ADD` has no proof."""

    way: Way
    proof: Proof | None = None
    trusted_issuers: tuple[TrustedIssuer, ...] = ()

    @property
    def platform(self) -> Platform:
        """Return the platform of the proof."""
        assert self.proof is not None
        return platform_of(self.proof)

    @property
    def kinds(self) -> tuple[TrustedIssuerKind, ...]:
        """Return the kinds of trusted issuer that can prove the selectors."""
        return FITTING[self.platform]

    @property
    def by_lookup(self) -> tuple[str, ...]:
        """Return the selector keys that a cluster proves by pod look-up only."""
        return tuple(each.key for each in self._selectors if by_lookup(each.key))

    @property
    def by_token(self) -> tuple[str, ...]:
        """Return the selector keys that the token of a pod proves."""
        return tuple(each.key for each in without_lookup(self._selectors))

    @property
    def _selectors(self) -> tuple[Selector, ...]:
        return self.proof.selectors if self.proof else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationGap:
    """A live or disabled delegation that gives the client no action.

    `reason` is `DISABLED`, or a gap of the delegation itself.
    """

    resolved: ResolvedDelegation
    reason: GrantGap


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStep:
    """One line of the checklist. `anchor` is the id of its card on the page of the client.

    `state` is `done`, `weak` (done, but the client proves nothing), `next` or `open`.
    """

    name: str
    state: str
    note: str
    anchor: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProgress:
    """The checklist of a client, and what the next step needs.

    `proof` is set if the client needs a proof, or if a proof waits for a trusted issuer while another one is used.
    """

    client: Client
    step: NextStep
    checklist: tuple[CheckedStep, ...]
    proof: ProofStep | None = None
    gaps: tuple[DelegationGap, ...] = ()
    on_trial: bool = False
    """Whether only an enrolled laptop, or nothing, proves the client, while its own proof waits."""
    refuses_unattested: bool = False
    """Whether the client has live delegations, and none of them grants a token to an unattested client."""


def progress(
    client: Client,
    state: ClientState,
    delegations: Sequence[ResolvedDelegation],
    registered: Collection[TrustedIssuer],
    last_token: datetime | None,
    now: datetime,
    *,
    trust_domain: str,
) -> ClientProgress:
    """Return the checklist and the next step of the client.

    `state` takes unavailable trusted issuers into account. `delegations` are all delegations of the client, and
    `registered` all trusted issuers. `trust_domain` is the trust domain in the clients' SPIFFE IDs.
    """
    gaps, granting = _gaps(delegations, now)
    step = _step(client, state, last_token, now)
    proved = step not in {NextStep.PROOF, NextStep.WAIT} and bool(client.usable_proofs(now))
    unproving = not client.can_prove_itself(now)
    by_id = {each.id: each for each in registered}
    usable = step in {NextStep.DELEGATION, NextStep.TOKEN, NextStep.DONE}
    waits = usable and bool(_waiting(client, now))
    on_trial = waits and {proof.kind for proof in client.usable_proofs(now)} <= _TRIAL
    checklist = (
        CheckedStep(
            name="Identity",
            state="next" if step is NextStep.ENABLE else "done",
            note=_identity(client),
            anchor="client-id",
        ),
        CheckedStep(
            name="Proof",
            state="weak"
            if proved and (unproving or on_trial)
            else _mark(done=proved, following=step in {NextStep.PROOF, NextStep.WAIT}),
            note=_proof_note(client, by_id, now) if proved else "Unavailable" if step is NextStep.WAIT else "Missing",
            anchor="prove" if on_trial else "proofs",
        ),
        CheckedStep(
            name="Delegation",
            state=_mark(done=granting > 0, following=step is NextStep.DELEGATION),
            note=_delegation_note(gaps, granting),
            anchor="permissions",
        ),
        CheckedStep(
            name="Token",
            state=_mark(done=last_token is not None, following=step is NextStep.TOKEN),
            note="Last issued" if last_token else "None yet",
            anchor="requests",
            at=last_token,
        ),
    )
    return ClientProgress(
        client=client,
        step=step,
        checklist=checklist,
        proof=proof_step(client, registered, now, trust_domain=trust_domain)
        if waits or step is NextStep.PROOF
        else None,
        gaps=gaps if step is NextStep.DELEGATION else (),
        on_trial=on_trial,
        refuses_unattested=_refuses_unattested(delegations, now),
    )


def _refuses_unattested(delegations: Sequence[ResolvedDelegation], now: datetime) -> bool:
    """Whether there are live delegations with an action, and all of them refuse an unattested client."""
    live = [each for each in delegations if each.state is DelegationState.LIVE]
    acting = [each for each in live if each.gap(now) is not GrantGap.DORMANT]
    return bool(live) and not any(each.delegation.accepts(ProofKind.UNATTESTED) for each in acting)


UNREGISTERED = (
    CheckedStep(name="Identity", state="next", note="Not registered"),
    CheckedStep(name="Proof", state="open", note="Missing"),
    CheckedStep(name="Delegation", state="open", note="None live"),
    CheckedStep(name="Token", state="open", note="None yet"),
)
"""The checklist of an authority without clients."""


def _step(client: Client, state: ClientState, last_token: datetime | None, now: datetime) -> NextStep:
    if state is ClientState.DISABLED:
        return NextStep.ENABLE
    if state is ClientState.UNPROVED:
        return NextStep.WAIT if client.usable_proofs(now) else NextStep.PROOF
    if state is ClientState.UNDELEGATED:
        return NextStep.DELEGATION
    return NextStep.TOKEN if last_token is None else NextStep.DONE


def _mark(*, done: bool, following: bool) -> str:
    return "next" if following else "done" if done else "open"


def _identity(client: Client) -> str:
    return "Registered" if client.enabled else "Disabled"


def _delegation_note(gaps: Collection[DelegationGap], granting: int) -> str:
    if granting:
        return f"{granting} live"
    return "None live" if all(gap.reason is GrantGap.DISABLED for gap in gaps) else "None gives an action"


def _proof_note(client: Client, registered: dict[str, TrustedIssuer], now: datetime) -> str:
    """Name the first usable proof: the trusted issuer that proves it, or its kind."""
    first, *more = client.usable_proofs(now)
    trusted_issuer = registered.get(first.trusted_issuer_id or "")
    named = trusted_issuer.name if trusted_issuer else _KINDS[first.kind]
    return f"{named} and {len(more)} more" if more else named


_TRIAL = {ProofKind.ENROLLED_KEY, ProofKind.UNATTESTED}
_KINDS = {
    ProofKind.SELECTORS: "Selectors",
    ProofKind.KEY_PAIR: "Key pair",
    ProofKind.ENROLLED_KEY: "Laptop",
    ProofKind.SECRET: "Client secret",
    ProofKind.UNATTESTED: "Unattested",
}


def _gaps(delegations: Sequence[ResolvedDelegation], now: datetime) -> tuple[tuple[DelegationGap, ...], int]:
    """Return the delegations that give no action, and the number of those that give one.

    Without a usable proof, no delegation is counted as excluded.
    """
    gaps, granting = [], 0
    for each in delegations:
        if reason := _reason(each, now):
            gaps.append(DelegationGap(resolved=each, reason=reason))
        elif each.state is DelegationState.LIVE:
            granting += 1
    return tuple(gaps), granting


def _reason(resolved: ResolvedDelegation, now: datetime) -> GrantGap | None:
    gap = resolved.gap(now)
    return gap if gap and (gap is GrantGap.DISABLED or gap.is_of_delegation) else None


def proof_step(client: Client, registered: Collection[TrustedIssuer], now: datetime, *, trust_domain: str) -> ProofStep:
    """Return the shortest way to a proof that this authority can verify."""
    ways = list(Way)
    found = [_way(proof, registered, trust_domain) for proof in _waiting(client, now)]
    return min(found, key=lambda each: ways.index(each.way), default=ProofStep(way=Way.ADD))


def _waiting(client: Client, now: datetime) -> list[Proof]:
    """Return the valid proofs by selectors that this authority cannot check."""
    usable = {proof.id for proof in client.usable_proofs(now)}
    selectors = [proof for proof in client.proofs if proof.kind is ProofKind.SELECTORS and proof.is_valid(now)]
    return [proof for proof in selectors if proof.id not in usable]


def _way(proof: Proof, registered: Collection[TrustedIssuer], trust_domain: str) -> ProofStep:
    platform = platform_of(proof)
    bound = [each for each in registered if each.id == proof.trusted_issuer_id]
    fitting = [each for each in bound or registered if fits(platform, proof.selectors, each, trust_domain)]
    able = [each for each in fitting if proves(platform, proof.selectors, each, trust_domain)]
    enabled = [each for each in able if each.enabled]
    chosen: dict[Way, Sequence[TrustedIssuer]] = {
        Way.BIND: enabled,
        Way.ENABLE: [each for each in bound or able if not each.enabled],
        Way.LOOK_UP: [each for each in fitting if _needs_lookup(proof, each)],
        Way.EDIT: fitting or bound,
    }
    for way, issuers in chosen.items():
        if issuers:
            return ProofStep(way=way, proof=proof, trusted_issuers=tuple(issuers))
    return ProofStep(way=Way.REGISTER, proof=proof)


def _needs_lookup(proof: Proof, trusted_issuer: TrustedIssuer) -> bool:
    """Return whether pod look-up is all that the cluster lacks to prove the selectors."""
    lacking = [each.key for each in proof.selectors if provenance(trusted_issuer, each.key) is Provenance.NEVER]
    return trusted_issuer.kind is TrustedIssuerKind.KUBERNETES and bool(lacking) and all(map(by_lookup, lacking))


def without_lookup(selectors: Sequence[Selector]) -> tuple[Selector, ...]:
    """Return the selectors that a cluster proves without pod look-up."""
    return tuple(each for each in selectors if not by_lookup(each.key))


def narrowed(client: Client, proof_id: str) -> tuple[tuple[str, str], ...]:
    """Return the rows of a proof without the selectors that need pod look-up, for the form of a new proof.

    Return no row if the client has no such proof.
    """
    return tuple(_rows(client, proof_id))


def _rows(client: Client, proof_id: str) -> Iterator[tuple[str, str]]:
    for proof in client.proofs:
        if proof.id == proof_id:
            yield from ((each.key, each.value) for each in without_lookup(proof.selectors))
