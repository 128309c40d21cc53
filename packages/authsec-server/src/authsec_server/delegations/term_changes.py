"""Compare a delegation before and after an edit. All functions are pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from authsec_server.delegations.model import DESCRIBED, Delegation
from authsec_server.delegations.validation import spoken


@dataclass(frozen=True, slots=True, kw_only=True)
class TermChange:
    """One value before and after an edit, as text for a person.

    If `narrows` is true, the edit revokes the existing tokens. A change can narrow and widen at the same time.
    """

    field: str
    label: str
    before: str
    after: str
    narrows: bool = False
    widens: bool = False


def changes(before: Delegation, after: Delegation, *, default_audience: str) -> tuple[TermChange, ...]:
    """Return the changed values, in the order of the form's fields. The result is empty if nothing has changed."""
    rows = (
        TermChange(field="target_type", label="Target Type", before=before.target_type, after=after.target_type),
        _actions(before, after),
        _duration(before, after),
        _end(before, after),
        _audiences(before, after, default_audience),
        _excluded(before, after),
        _dpop(before, after),
        *(_text(name, before, after) for name in ("slug", *DESCRIBED)),
    )
    return tuple(row for row in rows if row.before != row.after or row.narrows or row.widens)


def narrows(before: Delegation, after: Delegation, *, default_audience: str) -> bool:
    """Return whether existing tokens could exceed the edited delegation.

    Such a token could have more authority, or a longer lifetime, than the edited delegation allows.
    """
    return any(row.narrows for row in changes(before, after, default_audience=default_audience))


def _actions(before: Delegation, after: Delegation) -> TermChange:
    return TermChange(
        field="actions",
        label="Allowed Actions",
        before=", ".join(before.actions),
        after=", ".join(after.actions),
        narrows=_loses(before.actions, after.actions),
        widens=_loses(after.actions, before.actions),
    )


def _duration(before: Delegation, after: Delegation) -> TermChange:
    return TermChange(
        field="max_duration",
        label="Maximum Duration",
        before=spoken(before.max_duration),
        after=spoken(after.max_duration),
        narrows=after.max_duration < before.max_duration,
        widens=after.max_duration > before.max_duration,
    )


def _end(before: Delegation, after: Delegation) -> TermChange:
    return TermChange(
        field="ends_at",
        label="Ends",
        before=_instant(before.ends_at),
        after=_instant(after.ends_at),
        narrows=_is_earlier(after.ends_at, before.ends_at),
        widens=_is_earlier(before.ends_at, after.ends_at),
    )


def _audiences(before: Delegation, after: Delegation, default_audience: str) -> TermChange:
    default = (default_audience,)
    shared = f"{default_audience} (the default)"
    return TermChange(
        field="audiences",
        label="APIs",
        before=", ".join(before.audiences) or shared,
        after=", ".join(after.audiences) or shared,
        narrows=_loses(before.audiences or default, after.audiences or default),
        widens=_loses(after.audiences or default, before.audiences or default),
    )


def _excluded(before: Delegation, after: Delegation) -> TermChange:
    return TermChange(
        field="excluded_proofs",
        label="Proofs not accepted",
        before=", ".join(before.excluded_proofs) or "none",
        after=", ".join(after.excluded_proofs) or "none",
        narrows=_loses(after.excluded_proofs, before.excluded_proofs),  # a new exclusion narrows
        widens=_loses(before.excluded_proofs, after.excluded_proofs),
    )


def _dpop(before: Delegation, after: Delegation) -> TermChange:
    return TermChange(
        field="require_dpop",
        label="Requires DPoP",
        before="yes" if before.require_dpop else "no",
        after="yes" if after.require_dpop else "no",
        narrows=after.require_dpop and not before.require_dpop,  # issued bearer tokens would exceed the delegation
        widens=before.require_dpop and not after.require_dpop,
    )


def _text(name: str, before: Delegation, after: Delegation) -> TermChange:
    label = name.replace("_", " ").capitalize()
    return TermChange(field=name, label=label, before=getattr(before, name), after=getattr(after, name))


def _loses(before: Collection[str], after: Collection[str]) -> bool:
    return not set(before) <= set(after)


def _is_earlier(one: datetime | None, other: datetime | None) -> bool:
    """Return whether the end `one` is before the end `other`. None means no end, which is later than any end."""
    return one is not None and (other is None or one < other)


def _instant(end: datetime | None) -> str:
    return "no end date" if end is None else f"{end:%Y-%m-%d %H:%M:%S} UTC"
