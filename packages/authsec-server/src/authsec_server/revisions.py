"""Two people who edit one thing: the second is told, nobody's change is undone unseen. Pure.

Every thing that can be edited counts its changes; whoever edits says which count they had read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from authsec_server.failures import Outdated
from authsec_server.principal import Act


class Revised(Protocol):
    """A frozen dataclass that counts its changes. Before the first one `changed_at` is None, `changed_by` empty."""

    @property
    def id(self) -> str:
        """What it is known by, for good."""

    @property
    def revision(self) -> int:
        """1 when it was made, and one more with each change."""

    @property
    def changed_at(self) -> datetime | None:
        """When it was changed last."""

    @property
    def changed_by(self) -> str:
        """The name of the principal who did."""

    @property
    def created_at(self) -> datetime:
        """When it was made."""


T = TypeVar("T", bound=Revised)


def require_current(thing: Revised, revision: int, what: str) -> None:
    """Raise `Outdated` unless the editor had read the thing as it is now; `what` begins the sentence: "This role"."""
    if thing.revision != revision:
        raise Outdated(
            f"{what} was changed meanwhile{f' by {thing.changed_by}' if thing.changed_by else ''}.",
            "Look at it as it is now, then make your change again.",
            by=thing.changed_by,
            at=thing.changed_at or thing.created_at,
            thing=thing.id,
            since=revision,
            present=thing.revision,
        )


def require_same(thing: Revised, same: bool, what: str) -> None:
    """Raise `Outdated` unless it is the thing that the editor had read, and no other that has its slug by now."""
    if not same:
        raise Outdated(
            f"{what} is not the one that was read: that is gone, and this was made under the same name.",
            "Look at it as it is now, then make your change again.",
            by="",
            at=thing.created_at,
            thing=thing.id,
            since=thing.revision,
            present=thing.revision,
        )


def changed(thing: T, act: Act, **values: Any) -> T:
    """The thing with other values, as its next revision."""
    # mypy cannot know that what is revised is a dataclass: a protocol has no way to ask for that.
    revised: T = replace(
        thing,  # type: ignore[type-var] # for that reason
        **values,
        revision=thing.revision + 1,
        changed_at=act.now,
        changed_by=act.principal.name,
    )
    return revised


def edit_detail(revision: int, before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """What the journal keeps of an edit: the new revision, and what differs before and after. Empty if nothing does."""
    differing = [field for field in after if before[field] != after[field]]
    if not differing:
        return {}
    return {
        "revision": revision,
        "before": {field: before[field] for field in differing},
        "after": {field: after[field] for field in differing},
    }
