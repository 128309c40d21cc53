"""The rules for what may be delegated. Pure: role, client and audiences have been looked up before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from authsec_server.clients.model import ProofKind
from authsec_server.delegations.model import Edit, Proposal, TargetType
from authsec_server.failures import Invalid
from authsec_server.naming import quoted
from authsec_server.nearest import nearest
from authsec_server.roles.model import RoleDefinition
from authsec_server.settings import ENV_PREFIX

SHORTEST = 60  # seconds
_UNITS = ((3600, "hour"), (60, "minute"), (1, "second"))
MAX_AUDIENCES = 16
_SHOWN = 12  # actions named in a message
_LIKE_A_TYPE = 0.36  # "autogen" is, and "crewai"; "My bot" is like none of them


def allowed_actions(asked: Proposal | Edit, role: RoleDefinition, *, already: Collection[str] = ()) -> tuple[str, ...]:
    """The actions to be allowed, sorted. Never more than the role holds, and never none.

    "All" is written out as the actions of this moment: a role that grows later widens no delegation silently. What the
    delegation allows `already` may stay, though the role may have lost it: keeping it gives nothing.
    """
    if asked.all_actions:
        if asked.actions:
            raise Invalid("actions", "Both actions and all_actions are given.", "Give one of them.")
        return role.actions
    if not asked.actions:
        raise Invalid("actions", "No actions are given: they would grant nothing.", "Name some, or set all_actions.")
    for index, action in enumerate(asked.actions):
        if action not in role.actions and action not in already:
            raise _not_in_role(f"actions.{index}", action, role)
    return tuple(sorted(set(asked.actions)))


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
    """The target type. Raises `Invalid`, naming those there are."""
    try:
        return TargetType(text)
    except ValueError:
        near = nearest(text, TargetType, likeness=_LIKE_A_TYPE)
        raise Invalid(
            "target_type",
            f"{quoted(text)} is no target type{f'; the nearest is {near}' if near else ''}.",
            f"One of: {', '.join(TargetType)}",
        ) from None


def max_duration(seconds: int, cap: int) -> int:
    """How long a token may live at most, in seconds: a minute to `cap`."""
    if not SHORTEST <= seconds <= cap:
        raise Invalid(
            "max_duration",
            f"max_duration must be {spoken(SHORTEST)} to {spoken(cap)} ({SHORTEST} to {cap} seconds).",
            f"The upper limit is the setting {ENV_PREFIX}MAX_TOKEN_LIFETIME.",
        )
    return seconds


def spoken(seconds: int) -> str:
    """A duration as people say it, in its largest whole unit: `1 hour`, `90 minutes`, `45 seconds`."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size} {unit}{'' if seconds == size else 's'}"


def end(ends_at: datetime | None, now: datetime) -> datetime | None:
    """When the delegation ends by itself; that must lie ahead."""
    if ends_at is not None and ends_at <= now:
        raise Invalid(
            "ends_at", "ends_at is in the past.", "Give a later one, or none: then it does not end by itself."
        )
    return ends_at


def excluded_proofs(kinds: Sequence[str]) -> tuple[ProofKind, ...]:
    """The kinds of proof that do not suffice, sorted. Some kind must."""
    excluded = {_proof_kind(f"excluded_proofs.{index}", kind) for index, kind in enumerate(kinds)}
    if excluded == set(ProofKind):
        raise Invalid("excluded_proofs", "Every kind of proof is excluded: nobody could use this.", "Leave one out.")
    return tuple(sorted(excluded))


def _proof_kind(field: str, kind: str) -> ProofKind:
    try:
        return ProofKind(kind)
    except ValueError:
        raise Invalid(field, f"{quoted(kind)} is no kind of proof.", f"One of: {', '.join(ProofKind)}") from None


def audiences(resolved: Iterable[str]) -> tuple[str, ...]:
    """The audiences, sorted, each once."""
    found = tuple(sorted(set(resolved)))
    if len(found) > MAX_AUDIENCES:
        raise Invalid(
            "audiences", f"There are more than {MAX_AUDIENCES} audiences.", "Delegate for each group of APIs."
        )
    return found
