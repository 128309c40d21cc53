"""Decide which token an authenticated client gets, from its delegations at one moment. All functions are pure.

Effective actions = requested (or all) ∩ allowed by the delegation ∩ actions of its role. If a request names
actions, its token has exactly these actions. If one of them is not effective, the request is refused. The
refusal then names the smaller request that would pass. If no delegation or no action is effective, the
request is refused, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from authsec_server.attestation.model import Proved
from authsec_server.audit.event_shape import most_actions
from authsec_server.clients.model import Client
from authsec_server.delegations.model import ENDED_STATES, Delegation, DelegationState, state
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.keys.model import Algorithm
from authsec_server.roles.model import RoleDefinition
from authsec_server.tokens.missing_actions import explain
from authsec_server.tokens.refusal import Denied, Reason

_NEEDS_DPOP = Denied(
    reason=Reason.PROOF_NOT_ACCEPTED,
    details="The trust delegation grants only tokens that are bound to a key. Request the token with POST "
    "/oauth/token, and send a DPoP proof in the header DPoP (RFC 9449).",
    needs_dpop=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantedAuthority:
    """A trust delegation with its role, as read at one moment."""

    delegation: Delegation
    role: RoleDefinition

    @property
    def actions(self) -> frozenset[str]:
        """Return the effective actions: those that the delegation allows and the role has."""
        return frozenset(self.delegation.actions) & frozenset(self.role.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The data for a decision, read at the authority version `version`. The change `change_id` made this version.

    `trusted_issuers` are those of the client's proofs. Equal facts lead to equal decisions, whatever their version.
    """

    version: int = field(compare=False)
    client: Client | None
    authorities: tuple[GrantedAuthority, ...]
    audiences: Mapping[str, str]  # requested resource → its audience
    algorithms: Mapping[str, Algorithm] = field(default_factory=dict)  # only audiences without RS256
    trusted_issuers: Mapping[str, TrustedIssuer] = field(default_factory=dict)  # by id
    change_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeLimits:
    """The settings that limit every decision. `max_token_lifetime` is in seconds."""

    default_audience: str
    max_token_lifetime: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuance:
    """The settings that apply to every token."""

    issuer: str
    trust_domain: str
    limits: LifetimeLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The contents of the granted token. `lifetime` is in whole seconds."""

    client: Client
    proved: Proved
    actions: tuple[str, ...]
    audience: tuple[str, ...]
    algorithm: Algorithm
    lifetime: int
    sources: tuple[GrantedAuthority, ...]  # the delegations that grant the actions, by id
    trusted_issuer: TrustedIssuer | None  # the issuer of the client's proof, if there is one
    version: int
    thumbprint: str = ""  # of the key to which the token is bound (RFC 9449)


def decide(
    facts: Facts,
    proved: Proved,
    actions: Sequence[str] | None,
    resources: Sequence[str],
    limits: LifetimeLimits,
    now: datetime,
    *,
    thumbprint: str = "",
) -> Granted | Denied:
    """Run the endpoint's checks in order, starting with `client_disabled`.

    `proved` must belong to `facts.client`. `thumbprint` is that of the key in the request's DPoP proof. Without it, a
    delegation that requires DPoP grants nothing.
    """
    client = facts.client
    if client is None:
        return Denied(reason=Reason.CLIENT_NOT_FOUND)
    if not still_proves(client, proved, now):
        return Denied(
            reason=Reason.ATTESTATION_INVALID,
            details="This proof was just removed or has just expired.",
            is_authentic=True,
        )
    if not still_trusted(facts, proved):
        return Denied(
            reason=Reason.ATTESTATION_INVALID,
            details="The trusted issuer of the proof was changed or disabled.",
            is_authentic=True,
        )
    if not client.enabled:
        return Denied(reason=Reason.CLIENT_DISABLED, details="An administrator can enable it again.")
    outcome = _decide(facts, client, proved, actions, resources, limits, now, thumbprint=thumbprint)
    if isinstance(outcome, Granted) or thumbprint:
        return outcome
    if not any(each.delegation.require_dpop for each in facts.authorities):
        return outcome
    bound = _decide(facts, client, proved, actions, resources, limits, now, thumbprint="assumed")
    is_alike = isinstance(bound, Denied) and bound.reason is outcome.reason
    return outcome if is_alike else _NEEDS_DPOP


def _decide(
    facts: Facts,
    client: Client,
    proved: Proved,
    actions: Sequence[str] | None,
    resources: Sequence[str],
    limits: LifetimeLimits,
    now: datetime,
    *,
    thumbprint: str,
) -> Granted | Denied:
    usable = _usable(facts.authorities, proved, now, is_bound=bool(thumbprint))
    if isinstance(usable, Denied):
        return usable
    offered = _actions_of(usable)
    wanted = offered if actions is None else frozenset(actions)
    audience = _audience(usable, facts.audiences, resources, limits.default_audience)
    if isinstance(audience, Denied):
        audience = _explained(audience, facts, proved, resources, limits.default_audience, now)
    serving = [
        authority
        for authority in usable
        if not isinstance(audience, Denied) and audience <= _audiences_of(authority, limits.default_audience)
    ]
    if not wanted or not wanted <= offered:
        return _too_much(wanted, offered, serving, _withheld(facts.authorities, usable, now))
    if isinstance(audience, Denied):
        return audience
    algorithm = _algorithm(facts, audience)
    if isinstance(algorithm, Denied):
        return algorithm
    asked = None if actions is None else wanted
    return _grant(facts, client, proved, serving, asked, audience, algorithm, limits, now, thumbprint=thumbprint)


def still_proves(client: Client, proved: Proved, now: datetime) -> bool:
    """Return whether the client still has the proof, which was verified with earlier facts."""
    return any(
        (proof.id, proof.trusted_issuer_id) == (proved.proof_id, proved.trusted_issuer_id)
        and (proof.expires_at is None or _seconds_until(proof.expires_at, now) >= 1)
        for proof in client.proofs
    )


def still_trusted(facts: Facts, proved: Proved) -> bool:
    """Return whether the trusted issuer is unchanged. Another revision of the issuer may have other keys."""
    if proved.trusted_issuer_id is None:
        return True
    trusted_issuer = facts.trusted_issuers.get(proved.trusted_issuer_id)
    return (
        trusted_issuer is not None
        and trusted_issuer.enabled
        and trusted_issuer.revision == proved.trusted_issuer_revision
    )


def _usable(
    authorities: Sequence[GrantedAuthority], proved: Proved, now: datetime, *, is_bound: bool
) -> list[GrantedAuthority] | Denied:
    states = [state(authority.delegation, now) for authority in authorities]
    live = [
        authority
        for authority, its in zip(authorities, states, strict=True)
        if its is DelegationState.LIVE and _life(authority, now) >= 1
    ]
    if not live:
        if authorities and DelegationState.DISABLED not in states:
            return Denied(reason=Reason.DELEGATION_ENDED, details="Ask an administrator for a new trust delegation.")
        return Denied(reason=Reason.NO_DELEGATION, details="Ask an administrator for a trust delegation.")
    accepted = [authority for authority in live if authority.delegation.accepts(proved.kind)]
    if not accepted:
        return Denied(
            reason=Reason.PROOF_NOT_ACCEPTED,
            details=f"The trust delegation does not accept the proof kind {proved.kind}; use another kind of proof.",
        )
    usable = accepted if is_bound else [each for each in accepted if not each.delegation.require_dpop]
    return usable or _NEEDS_DPOP


def _withheld(
    authorities: Sequence[GrantedAuthority], usable: Sequence[GrantedAuthority], now: datetime
) -> frozenset[str]:
    """Return the actions of the live delegations that are not usable with this proof."""
    live = [each for each in authorities if state(each.delegation, now) is DelegationState.LIVE]
    return _actions_of([each for each in live if each not in usable])


def _too_much(
    wanted: frozenset[str], offered: frozenset[str], serving: Sequence[GrantedAuthority], withheld: frozenset[str]
) -> Denied:
    """Return the refusal of a request for too many actions.

    The refusal names a smaller request that would pass for this audience. If the audience is ambiguous, it
    names no smaller request.
    """
    if not offered:
        return Denied(reason=Reason.ACTION_NOT_ALLOWED, details="The trust delegation currently allows no action.")
    smaller = tuple(sorted(wanted & _actions_of(serving)))
    missing = tuple(sorted(wanted - offered))
    denied = Denied(
        reason=Reason.ACTION_NOT_ALLOWED,
        missing=missing,
        withheld=tuple(action for action in missing if action in withheld),
        smaller=smaller,
        offered=tuple(sorted(offered)),
    )
    return replace(denied, details=explain(denied))


def _actions_of(authorities: Sequence[GrantedAuthority]) -> frozenset[str]:
    return frozenset[str]().union(*(authority.actions for authority in authorities))


def _audiences_of(authority: GrantedAuthority, default: str) -> frozenset[str]:
    return frozenset(authority.delegation.audiences or (default,))


def _audience(
    usable: Sequence[GrantedAuthority], named: Mapping[str, str], resources: Sequence[str], default: str
) -> frozenset[str] | Denied:
    """Return the token's `aud`: the requested resources (RFC 8707).

    Without a requested resource, return the audiences of the usable delegations if all of them have the same
    audiences. Otherwise the request is refused.
    """
    choices = {_audiences_of(authority, default) for authority in usable}
    if resources:
        asked = frozenset(named.get(resource, resource) for resource in resources)
        if any(asked <= choice for choice in choices):
            return asked
        details = f"Nothing is delegated for {' and '.join(sorted(asked))}. Delegated for: {_listed(choices)}."
        return Denied(reason=Reason.INVALID_TARGET, details=details)
    if len(choices) > 1:
        details = f"Request one of these resources: {_listed(choices)}."
        return Denied(reason=Reason.INVALID_TARGET, details=details)
    return choices.pop()


def _explained(
    denied: Denied, facts: Facts, proved: Proved, resources: Sequence[str], default: str, now: datetime
) -> Denied:
    """Return the refusal. Its text mentions a delegation for these resources that is unusable, if there is one."""
    asked = frozenset(facts.audiences.get(resource, resource) for resource in resources)
    named = " and ".join(sorted(asked))
    for_them = [each.delegation for each in facts.authorities if asked <= _audiences_of(each, default)]
    states = {state(each, now) for each in for_them if not each.accepts(proved.kind)}
    if asked and DelegationState.LIVE in states:
        told = f"The trust delegation for {named} does not accept the proof kind {proved.kind}"
        return replace(denied, details=f"{told}; use another kind of proof.")
    if asked and any(state(each, now) in ENDED_STATES for each in for_them):
        return replace(denied, details=f"The trust delegation for {named} has ended. {denied.details}")
    return denied


def _algorithm(facts: Facts, audience: frozenset[str]) -> Algorithm | Denied:
    """Return the one signing algorithm of all these audiences, or a refusal if their algorithms differ."""
    its = {each: facts.algorithms.get(each, Algorithm.RS256) for each in sorted(audience)}
    if len({*its.values()}) == 1:
        return next(iter(its.values()))
    told = " and ".join(f"{each} takes {algorithm}" for each, algorithm in its.items())
    return Denied(
        reason=Reason.INVALID_TARGET,
        details=f"{told}. One token has one signature algorithm: request a token for each of these resources.",
        algorithms=its,
    )


def _listed(choices: set[frozenset[str]]) -> str:
    return ", or ".join(sorted(" and ".join(sorted(choice)) for choice in choices))


def _grant(
    facts: Facts,
    client: Client,
    proved: Proved,
    serving: Sequence[GrantedAuthority],
    wanted: frozenset[str] | None,
    audience: frozenset[str],
    algorithm: Algorithm,
    limits: LifetimeLimits,
    now: datetime,
    *,
    thumbprint: str,
) -> Granted | Denied:
    """Choose a delegation for each action, and return the contents of the token.

    Of several delegations, choose the one that allows the longest lifetime. Among equal ones, choose the lowest
    id.
    """
    by_life = sorted(serving, key=lambda authority: (-_life(authority, now), authority.delegation.id))
    drawn: dict[str, GrantedAuthority] = {}
    for authority in by_life:
        for action in authority.actions if wanted is None else authority.actions & wanted:
            drawn.setdefault(action, authority)
    if not drawn or (wanted is not None and drawn.keys() != wanted):
        elsewhere = " ".join(sorted((wanted or frozenset()) - drawn.keys()))
        return Denied(
            reason=Reason.INVALID_TARGET,
            details=f"Not delegated for {' '.join(sorted(audience))}: {elsewhere or 'any action'}.",
        )
    sources = {authority.delegation.id: authority for authority in drawn.values()}
    if len(drawn) > (most := most_actions(2 * len(sources))):
        return Denied(
            reason=Reason.INVALID_SCOPE,
            details=f"{len(drawn):,} actions are too many for one token. The limit is {most:,}. Name only the needed "
            "actions in the parameter scope.",
        )
    lives = [_life(authority, now) for authority in sources.values()]
    return Granted(
        client=client,
        proved=proved,
        actions=tuple(sorted(drawn)),
        audience=tuple(sorted(audience)),
        algorithm=algorithm,
        lifetime=min(*lives, *_proof_life(client, proved, now), limits.max_token_lifetime),
        sources=tuple(sources[id_] for id_ in sorted(sources)),
        trusted_issuer=facts.trusted_issuers[proved.trusted_issuer_id] if proved.trusted_issuer_id else None,
        version=facts.version,
        thumbprint=thumbprint,
    )


def _life(authority: GrantedAuthority, now: datetime) -> int:
    """Return the longest lifetime that a token of this delegation can have, in whole seconds."""
    delegation = authority.delegation
    if delegation.ends_at is None:
        return delegation.max_duration
    return min(delegation.max_duration, _seconds_until(delegation.ends_at, now))


def _proof_life(client: Client, proved: Proved, now: datetime) -> list[int]:
    """Return a list with the seconds until the proof expires. The list is empty if the proof has no expiry.

    A token must not be valid longer than its proof.
    """
    return [
        _seconds_until(proof.expires_at, now)
        for proof in client.proofs
        if proof.id == proved.proof_id and proof.expires_at is not None
    ]


def _seconds_until(end: datetime, now: datetime) -> int:
    return int((end - now).total_seconds())
