"""Optimistic locking: if two people edit one object, the second one gets an error. No update is lost. Pure.

Every editable object numbers its changes as `revision`. An edit names the revision that the editor read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from authsec_server.failures import FailureList, Outdated
from authsec_server.principal import Act


class Revised(Protocol):
    """A frozen dataclass with a revision. Before the first change, `changed_at` is None and `changed_by` is empty."""

    @property
    def id(self) -> str:
        """Return the id, which never changes."""

    @property
    def revision(self) -> int:
        """Return the revision: 1 for a new object, plus 1 for each change."""

    @property
    def changed_at(self) -> datetime | None:
        """Return the time of the last change."""

    @property
    def changed_by(self) -> str:
        """Return the name of the principal that made the last change."""

    @property
    def created_at(self) -> datetime:
        """Return the time of creation."""


T = TypeVar("T", bound=Revised)


def require_current(thing: Revised, revision: int, what: str) -> None:
    """Raise `Outdated` unless `revision` is the current revision of the object.

    `what` begins the sentence of the error, for example "This role".
    """
    if thing.revision != revision:
        raise Outdated(
            f"{what} was changed meanwhile{f' by {thing.changed_by}' if thing.changed_by else ''}.",
            "Read the current version, then make your change again.",
            by=thing.changed_by,
            at=thing.changed_at or thing.created_at,
            thing=thing.id,
            since=revision,
            present=thing.revision,
        )


def require_same(thing: Revised, same: bool, what: str) -> None:
    """Raise `Outdated` unless `same` is true.

    `same` is false if the object that the editor read was deleted, and a new object has the same slug.
    """
    if not same:
        raise Outdated(
            f"{what} was deleted after you read it. A new object has the same name.",
            "Read the current version, then make your change again.",
            by="",
            at=thing.created_at,
            thing=thing.id,
            since=thing.revision,
            present=thing.revision,
        )


def changed(thing: T, act: Act, *, is_repeat: bool = False, **values: Any) -> T:
    """Return the next revision of the object, with these values.

    A repeat of an act (`is_repeat`) keeps the time and the author of the first act. The new revision still changes the
    digest of the row, so `verify` finds that raw SQL undoes the act afterwards.
    """
    # A protocol cannot require a dataclass, so mypy does not know that `thing` is a dataclass.
    revised: T = replace(
        thing,  # type: ignore[type-var] # see above
        **values,
        revision=thing.revision + 1,
        changed_at=thing.changed_at if is_repeat else act.now,
        changed_by=thing.changed_by if is_repeat else act.principal.name,
    )
    return revised


@dataclass(frozen=True, slots=True)
class Editable:
    """A field that an edit can change.

    `check` takes the field's name and an unchecked value, and returns the valid value. `plain` returns the value
    as JSON.
    """

    check: Callable[[str, Any], Any]
    plain: Callable[[Any], object] = lambda value: value


Fields = Mapping[str, Editable]
"""The editable fields of an object, by name, in display order."""


def checked(fields: Fields, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values after their checks, in the order of the fields.

    Raises `Invalid`, which names the field and has the problems of the other fields.

    Raises `TypeError` for an unknown field. Otherwise the new value would be lost without an error.
    """
    if unknown := values.keys() - fields.keys():
        raise TypeError(f"No such field: {', '.join(sorted(unknown))}. The fields are {', '.join(fields)}.")
    problems, valid = FailureList(), {}
    for name, its in fields.items():
        if name in values:
            with problems.collect():
                valid[name] = its.check(name, values[name])
    problems.raise_all()
    return valid


def plain(fields: Fields, thing: object) -> dict[str, Any]:
    """Return the values of these fields as JSON."""
    return {name: its.plain(getattr(thing, name)) for name, its in fields.items()}


def edited(
    thing: T, act: Act, fields: Fields, values: Mapping[str, Any], *, granting: Collection[str] = ()
) -> tuple[T, dict[str, object]]:
    """Return the edited object as its next revision, and the detail of the edit for the audit log.

    Fields without a value stay as they are. The detail is empty if there is nothing to record, as in `edit_detail`.
    `granting` are the fields that decide about authority. Raises `Invalid`.
    """
    after = changed(thing, act, **checked(fields, values))
    asked = [field for field in granting if field in values]
    return after, edit_detail(after.revision, plain(fields, thing), plain(fields, after), asked=asked)


def edit_detail(
    revision: int, before: Mapping[str, object], after: Mapping[str, object], *, asked: Collection[str] = ()
) -> dict[str, object]:
    """Return the detail of an edit for the audit log: the new revision, and the changed fields before and after.

    `asked` are the fields about authority that the request names. If no field changed, the detail has these fields.
    The attack: raw SQL makes an edit before an operator makes the edit, and undoes it afterwards. Without an event,
    nobody would find that the edit has no effect. The detail is empty if no field changed, and `asked` is empty.
    """
    differing = [field for field in after if before[field] != after[field]]
    recorded = differing or [field for field in after if field in asked]
    if not recorded:
        return {}
    return {
        "revision": revision,
        "before": {field: before[field] for field in recorded},
        "after": {field: after[field] for field in recorded},
        **({} if differing else {"already": True}),  # `audit.model.ALREADY`: its import would be a cycle
    }
