"""Describe the requested actions that a refused request does not get. All functions are pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from authsec_server.suggest import nearest
from authsec_server.tokens.refusal import Denied

_NAMED = 8  # actions in the details of a refusal


def with_unknown(denied: Denied, existing: Collection[str]) -> Denied:
    """Return the refusal with all missing actions outside of `existing` marked as unknown."""
    unknown = tuple(action for action in denied.missing if action not in existing)
    told = replace(denied, unknown=unknown)
    return replace(told, details=explain(told)) if unknown else denied


def explain(denied: Denied) -> str:
    """Return a text that says which actions are missing and why.

    The text then names the request that would pass, and the delegated actions.
    """
    known = [action for action in denied.missing if action not in (*denied.unknown, *denied.withheld)]
    parts = [f"Not delegated: {' '.join(known)}."] if known else []
    if denied.withheld:
        parts.append(f"Not delegated for this kind of proof: {' '.join(denied.withheld)}.")
    parts += [_unknown(action, denied.offered) for action in denied.unknown[:_NAMED]]
    if len(denied.unknown) > _NAMED:
        parts.append(f"{len(denied.unknown) - _NAMED} more requested actions are unknown.")
    if denied.smaller:
        parts.append(f"The request scope={' '.join(denied.smaller)} would be granted.")
    more = len(denied.offered) - _NAMED
    delegated = " ".join(denied.offered[:_NAMED])
    return " ".join([*parts, f"Delegated: {delegated}{f' and {more} more' if more > 0 else ''}."])


def _unknown(action: str, offered: Sequence[str]) -> str:
    near = nearest(action, offered)
    return f"No role and no API has the action {action}{f'; the nearest that is delegated is {near}' if near else ''}."
