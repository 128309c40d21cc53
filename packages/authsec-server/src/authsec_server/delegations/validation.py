"""Validate delegations, and warn about them.

All functions are pure: the caller has loaded all data from the database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from authsec_server.clients.model import Client, ClientKind, ProofKind
from authsec_server.delegations.model import (
    ENDED_STATES,
    Caution,
    Delegation,
    DelegationState,
    TargetType,
    Terms,
    state,
)
from authsec_server.failures import Invalid
from authsec_server.keys.model import Algorithm
from authsec_server.naming import quoted
from authsec_server.revisions import Editable, Fields
from authsec_server.roles.model import RoleDefinition
from authsec_server.suggest import nearest

SHORTEST = 60  # seconds
_UNITS = ((3600, "hour"), (60, "minute"), (1, "second"))
MAX_AUDIENCES = 16
_SHOWN = 12  # actions named in a message
_LIKE_A_TYPE = 0.36  # "autogen" and "crewai" are similar enough to a type; "My bot" is not


def granted_fields(
    role: RoleDefinition, terms: Terms, now: datetime, *, all_actions: bool = False, held: Delegation | None = None
) -> Fields:
    """Return the fields that grant authority, with their checks. `held` is the delegation to edit, if any.

    The check of `audiences` takes identifiers of APIs, not slugs. Actions and a duration that `held` already
    has may stay, even if a newer rule forbids them.
    """
    already, length = (held.actions, held.max_duration) if held else ((), None)
    cap = terms.max_token_lifetime
    return {
        "target_type": Editable(lambda _, text: target_type(text)),
        "actions": Editable(lambda _, asked: allowed_actions(asked, role, all_actions=all_actions, already=already)),
        "max_duration": Editable(lambda _, seconds: seconds if seconds == length else max_duration(seconds, cap)),
        "audiences": Editable(lambda _, resolved: audiences(resolved)),
        "excluded_proofs": Editable(lambda _, kinds: excluded_proofs(kinds)),
        "require_dpop": Editable(lambda _, value: value),
        "ends_at": Editable(lambda _, ends_at: end(ends_at, now)),
    }


def allowed_actions(
    asked: Sequence[str], role: RoleDefinition, *, all_actions: bool = False, already: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the actions for the delegation, sorted. The result is never empty. Raises `Invalid`.

    A delegation cannot allow an action that the role does not have. Actions in `already` may stay even if the
    role has lost them, because they grant nothing. `all_actions` means the role's current actions. If the role
    gets more actions later, the delegation does not get them.
    """
    if all_actions:
        if asked:
            raise Invalid("actions", "Both actions and all_actions were given.", "Give only one of them.")
        return role.actions
    if not asked:
        raise Invalid(
            "actions",
            "No actions were given, so nothing would be granted.",
            "Name at least one action, or set all_actions.",
        )
    for index, action in enumerate(asked):
        if action not in role.actions and action not in already:
            raise _not_in_role(f"actions.{index}", action, role)
    return tuple(sorted(set(asked)))


def _not_in_role(field: str, action: str, role: RoleDefinition) -> Invalid:
    near = nearest(action, role.actions, likeness=0)
    held = ", ".join(role.actions[:_SHOWN])
    more = len(role.actions) - _SHOWN
    return Invalid(
        field,
        f"{quoted(action)} is not an action of the role {role.name!r}; the nearest is {near}.",
        f"The role has: {held}{f' and {more} more' if more > 0 else ''}",
    )


def target_type(text: str) -> TargetType:
    """Return the target type. Raises `Invalid`, and the error text lists the target types."""
    try:
        return TargetType(text)
    except ValueError:
        near = nearest(text, TargetType, likeness=_LIKE_A_TYPE)
        raise Invalid(
            "target_type",
            f"{quoted(text)} is not a target type{f'; the nearest is {near}' if near else ''}.",
            f"One of: {', '.join(TargetType)}",
        ) from None


def max_duration(seconds: int, cap: int) -> int:
    """Return the longest token lifetime in seconds.

    Raises `Invalid` if it is less than one minute or more than `cap`.
    """
    if not SHORTEST <= seconds <= cap:
        raise Invalid(
            "max_duration",
            f"max_duration must be {spoken(SHORTEST)} to {spoken(cap)} ({SHORTEST} to {cap} seconds).",
            "The upper limit is the setting AUTHSEC_SERVER_MAX_TOKEN_LIFETIME.",
        )
    return seconds


def spoken(seconds: int) -> str:
    """Format a duration in the largest unit that needs no fraction: `1 hour`, `90 minutes`, `45 seconds`."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size} {unit}{'' if seconds == size else 's'}"


def end(ends_at: datetime | None, now: datetime) -> datetime | None:
    """Return the end date. Raises `Invalid` if it is in the past."""
    if ends_at is not None and ends_at <= now:
        raise Invalid(
            "ends_at",
            "ends_at is in the past.",
            "Give a later time, or leave out ends_at for a delegation without an end date.",
        )
    return ends_at


def excluded_proofs(kinds: Sequence[str]) -> tuple[ProofKind, ...]:
    """Return the excluded kinds of proof, sorted. Raises `Invalid` if every kind is excluded."""
    excluded = {_proof_kind(f"excluded_proofs.{index}", kind) for index, kind in enumerate(kinds)}
    if excluded == set(ProofKind):
        raise Invalid(
            "excluded_proofs",
            "Every kind of proof is excluded, so no client could use this delegation.",
            "Allow at least one kind.",
        )
    return tuple(sorted(excluded))


def _proof_kind(field: str, kind: str) -> ProofKind:
    try:
        return ProofKind(kind)
    except ValueError:
        raise Invalid(field, f"{quoted(kind)} is not a kind of proof.", f"One of: {', '.join(ProofKind)}") from None


def audiences(resolved: Iterable[str]) -> tuple[str, ...]:
    """Return the audiences, sorted and without duplicates. Raises `Invalid` if there are too many."""
    found = tuple(sorted(set(resolved)))
    if len(found) > MAX_AUDIENCES:
        raise Invalid(
            "audiences",
            f"There are more than {MAX_AUDIENCES} audiences.",
            "Create one delegation for each group of APIs.",
        )
    return found


_ACTIONS_SHOWN = 8  # actions or audiences named in a message


def warnings(
    delegation: Delegation,
    client: Client,
    *,
    described: Collection[str],
    registered: Collection[str],
    default_audience: str,
    now: datetime,
    algorithms: Mapping[str, Algorithm] = MappingProxyType({}),
) -> tuple[Caution, ...]:
    """Return the cautions, the most serious first. An ended or revoked delegation has no cautions.

    `described` are the actions that registered APIs describe. `registered` are the audiences of registered
    APIs. `algorithms` maps audiences to their signing algorithms; audiences with RS256 are left out.
    """
    if state(delegation, now) in ENDED_STATES:
        return ()
    return (
        *_about_the_client(delegation, client, now),
        *_about_audiences(delegation, registered, default_audience),
        *_about_algorithms(delegation, algorithms),
        *_about_actions(delegation, described),
    )


def dormant(delegation: Delegation, role: RoleDefinition, client: Client, now: datetime) -> tuple[Caution, ...]:
    """Return a caution if the role no longer has any of the delegation's actions."""
    if state(delegation, now) in ENDED_STATES or not set(role.actions).isdisjoint(delegation.actions):
        return ()
    message = (
        f"The role {role.name} no longer has the allowed actions, so {client.name} gets no token by this delegation."
    )
    return (Caution(code="actions_not_in_role", message=message),)


def repeated(new: Delegation, held: Iterable[Delegation], now: datetime) -> tuple[Caution, ...]:
    """Return a caution if a live delegation already grants the actions of `new`.

    If somebody later revokes only one of the two, the client keeps the authority.
    """
    for other in held:
        same = other.audiences == new.audiences and set(new.actions) <= set(other.actions)
        if same and state(other, now) is DelegationState.LIVE:
            message = f"The delegation {other.id} already allows the same. To end this access, both must be revoked."
            return (Caution(code="delegation_repeats", message=message, delegation_id=other.id),)
    return ()


def resource_needed(
    client: Client, before: Iterable[Delegation], after: Iterable[Delegation], default_audience: str, now: datetime
) -> tuple[Caution, ...]:
    """Return a caution if token requests without `resource` are granted before a change, and refused after it.

    `before` and `after` are the delegations of the client, in any state. A request uses one proof, and only the
    delegations that accept the proof. The authority does not know which agents send a resource, because a recorded
    token only has the audience.
    """
    live = [[each for each in held if state(each, now) is DelegationState.LIVE] for held in (before, after)]

    def choices(kind: ProofKind) -> tuple[set[frozenset[str]], set[frozenset[str]]]:
        one, several = (
            {frozenset(each.audiences or (default_audience,)) for each in held if each.accepts(kind)} for held in live
        )
        return one, several

    valid = [proof for proof in client.proofs if proof.is_valid(now)]
    kinds = {proof.kind for proof in client.usable_proofs(now) or valid}
    one = next((one for one, several in map(choices, sorted(kinds)) if len(one) == 1 and len(several) > 1), None)
    if one is None:
        return ()
    message = (
        f"After this change, each token request of {client.name} must name an API with the parameter "
        f"`resource`, such as `{min(one.pop())}`. The authority refuses other requests with `invalid_target`. "
        "Change the agent first."
    )
    return (Caution(code="resource_needed", message=message),)


def misspelt(near: Mapping[str, str]) -> tuple[Caution, ...]:
    """Return a caution for each audience in `near`, which maps each unknown audience to the slug of a similar API."""
    return tuple(
        Caution(code="audience_misspelt", message=f"There is no API {audience}; the nearest is {slug}.")
        for audience, slug in near.items()
    )


def named_before_apis(names: Sequence[str]) -> tuple[Caution, ...]:
    """Return one caution about audiences that are not URLs. Use this while no API is registered."""
    if not names:
        return ()
    are = "is not a URL" if len(names) == 1 else "are not URLs"
    return (Caution(code="audience_misspelt", message=f"No API is registered yet, and {_some(names)} {are}."),)


def _about_the_client(delegation: Delegation, client: Client, now: datetime) -> Iterator[Caution]:
    kinds = {proof.kind for proof in client.proofs if proof.is_valid(now)}
    is_only_unattested = client.unattested(now) and not client.can_prove_itself(now)
    if client.unattested(now) and not delegation.require_dpop:
        yield Caution(
            code="client_unattested",
            message=f"{client.name} is unattested: anybody who knows its client_id can get tokens for this delegation.",
        )
    elif is_only_unattested:
        yield Caution(
            code="proofs_excluded",
            message=f"{client.name} is unattested, so it gets no token by this delegation, which requires DPoP. Add "
            "another proof to the client.",
        )
    elif not client.can_prove_itself(now):
        yield Caution(
            code="client_cannot_prove_itself",
            message=f"{client.name} cannot authenticate to this authority yet, so it gets no token.",
        )
    elif delegation.accepts(ProofKind.SECRET) and client.holds_secret(now):
        yield Caution(
            code="client_holds_secret",
            message=f"{client.name} may authenticate with a secret: anybody who reads the secret can get tokens for "
            "this delegation until the secret is rotated.",
        )
    is_told = is_only_unattested and delegation.require_dpop
    if kinds and not is_told and not any(map(delegation.accepts, kinds)):
        message = f"Every proof of {client.name} is excluded, so it gets no token by this delegation."
        yield Caution(code="proofs_excluded", message=message)
    elif (usable := client.usable_proofs(now)) and not is_told and not delegation.accepts_any(usable):
        yield Caution(
            code="proofs_not_verified",
            message=f"{client.name} gets no token by this delegation yet: the delegation accepts only proofs that "
            "AuthSec cannot verify yet.",
        )
    if (client.kind is ClientKind.MCP_SERVER) is not (delegation.target_type is TargetType.MCP_SERVER):
        is_one = "an MCP server" if client.kind is ClientKind.MCP_SERVER else "an AI agent"
        yield Caution(
            code="target_differs",
            message=f"{client.name} is {is_one}, but its tokens say {delegation.target_type}.",
        )
    if not client.enabled:
        yield Caution(code="client_disabled", message=f"{client.name} is disabled, so it gets no token.")


def _about_audiences(delegation: Delegation, registered: Collection[str], default_audience: str) -> Iterator[Caution]:
    if default_audience in (delegation.audiences or (default_audience,)):
        yield Caution(
            code="audience_shared",
            message=f"Tokens of this delegation are for the shared audience {default_audience}: APIs that accept "
            "this audience can use each other's tokens. Name the API instead.",
        )
    unknown = [each for each in delegation.audiences if each not in registered and each != default_audience]
    if unknown:
        these = "the audience" if len(unknown) == 1 else "these audiences"
        yield Caution(code="audience_not_registered", message=f"No API is registered for {these}: {_some(unknown)}")


def _about_algorithms(delegation: Delegation, algorithms: Mapping[str, Algorithm]) -> Iterator[Caution]:
    its = {each: algorithms.get(each, Algorithm.RS256) for each in delegation.audiences}
    if len({*its.values()}) > 1:
        told = _some([f"{each} takes {algorithm}" for each, algorithm in its.items()])
        message = f"No token can have all of these audiences: {told}. Request only audiences of one algorithm."
        yield Caution(code="algorithms_differ", message=message)


def _about_actions(delegation: Delegation, described: Collection[str]) -> Iterator[Caution]:
    unknown = [action for action in delegation.actions if action not in described]
    if unknown:
        these = "the action" if len(unknown) == 1 else "these actions"
        message = f"No registered API describes {these}. Tokens are unaffected: {_some(unknown)}"
        yield Caution(code="action_not_described", message=message)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _ACTIONS_SHOWN
    return f"{', '.join(names[:_ACTIONS_SHOWN])}{f' and {more} more' if more > 0 else ''}"
