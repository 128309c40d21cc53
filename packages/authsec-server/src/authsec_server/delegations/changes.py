"""What an edit changes, row by row in plain words, and whether it takes authority away or gives some. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from authsec_server.delegations.model import Delegation
from authsec_server.delegations.proposal import spoken


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value before and after, as a person reads it. What `narrows` ends the tokens there are; some do both."""

    field: str
    label: str
    before: str
    after: str
    narrows: bool = False
    widens: bool = False


def changes(before: Delegation, after: Delegation, *, default_audience: str) -> tuple[Change, ...]:
    """What differs, in the order in which the form asks for it; nothing where nothing does."""
    rows = (
        Change(field="target_type", label="Target Type", before=before.target_type, after=after.target_type),
        _actions(before, after),
        _duration(before, after),
        _end(before, after),
        _audiences(before, after, default_audience),
        _excluded(before, after),
        Change(field="slug", label="Slug", before=before.slug, after=after.slug),
        Change(field="owner", label="Owner", before=before.owner, after=after.owner),
        Change(field="description", label="Description", before=before.description, after=after.description),
    )
    return tuple(row for row in rows if row.before != row.after or row.narrows or row.widens)


def narrows(before: Delegation, after: Delegation, *, default_audience: str) -> bool:
    """Whether a token from before may carry, or outlive, what could not be had after."""
    return any(row.narrows for row in changes(before, after, default_audience=default_audience))


def _actions(before: Delegation, after: Delegation) -> Change:
    return Change(
        field="actions",
        label="Allowed Actions",
        before=", ".join(before.actions),
        after=", ".join(after.actions),
        narrows=_loses(before.actions, after.actions),
        widens=_loses(after.actions, before.actions),
    )


def _duration(before: Delegation, after: Delegation) -> Change:
    return Change(
        field="max_duration",
        label="Maximum Duration",
        before=spoken(before.max_duration),
        after=spoken(after.max_duration),
        narrows=after.max_duration < before.max_duration,
        widens=after.max_duration > before.max_duration,
    )


def _end(before: Delegation, after: Delegation) -> Change:
    return Change(
        field="ends_at",
        label="Ends",
        before=_instant(before.ends_at),
        after=_instant(after.ends_at),
        narrows=_is_earlier(after.ends_at, before.ends_at),
        widens=_is_earlier(before.ends_at, after.ends_at),
    )


def _audiences(before: Delegation, after: Delegation, default_audience: str) -> Change:
    default = (default_audience,)
    shared = f"{default_audience} (the default)"
    return Change(
        field="audiences",
        label="APIs",
        before=", ".join(before.audiences) or shared,
        after=", ".join(after.audiences) or shared,
        narrows=_loses(before.audiences or default, after.audiences or default),
        widens=_loses(after.audiences or default, before.audiences or default),
    )


def _excluded(before: Delegation, after: Delegation) -> Change:
    return Change(
        field="excluded_proofs",
        label="Proofs not accepted",
        before=", ".join(before.excluded_proofs) or "none",
        after=", ".join(after.excluded_proofs) or "none",
        narrows=_loses(after.excluded_proofs, before.excluded_proofs),  # what is excluded is what cannot be used
        widens=_loses(before.excluded_proofs, after.excluded_proofs),
    )


def _loses(before: Collection[str], after: Collection[str]) -> bool:
    return not set(before) <= set(after)


def _is_earlier(one: datetime | None, other: datetime | None) -> bool:
    """No end at all is later than any."""
    return one is not None and (other is None or one < other)


def _instant(end: datetime | None) -> str:
    return "never by itself" if end is None else f"{end:%Y-%m-%d %H:%M:%S} UTC"
