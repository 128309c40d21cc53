"""What a document would change: of each thing by itself, field by field. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

UNMADE: Final = datetime.min.replace(tzinfo=UTC)
"""When what is only wanted was made."""

Facts = Mapping[str, object]
"""What a thing is, in the words of a document: texts, numbers, truths, lists of texts, maps of texts. Nothing empty."""


class Section(StrEnum):
    """The parts of a document, in its order: what comes later may name what came before."""

    ISSUERS = "issuers"
    APIS = "apis"
    ROLES = "roles"
    AGENTS = "agents"
    DELEGATIONS = "delegations"

    @property
    def one(self) -> str:
        """What one of it is called."""
        return {
            Section.ISSUERS: "trusted issuer",
            Section.APIS: "API",
            Section.ROLES: "role",
            Section.AGENTS: "agent",
            Section.DELEGATIONS: "delegation",
        }[self]


class Verb(StrEnum):
    """What is done to a thing."""

    CREATE = "create"
    EDIT = "edit"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field before and after. Of lists and maps, what comes and what goes is named singly."""

    field: str
    before: object = None
    after: object = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is done to one thing. `unattested`: its name alone gets it in by then. `notes` are for whoever decides."""

    verb: Verb
    section: Section
    slug: str
    differences: tuple[Difference, ...]
    unattested: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What whoever applies should know of a thing that stays as it is."""

    section: Section
    slug: str
    text: str


def differences(before: Facts | None, after: Facts) -> tuple[Difference, ...]:
    """What differs, in the order of the fields. Of what is new, it goes without saying that it is on."""
    if before is None:
        before, after = {}, {field: its for field, its in after.items() if (field, its) != ("enabled", True)}
    fields = dict.fromkeys([*before, *after])
    return tuple(
        _difference(field, before.get(field), after.get(field))
        for field in fields
        if before.get(field) != after.get(field)
    )


def _difference(field: str, before: object, after: object) -> Difference:
    had, has = dict.fromkeys(_items(before)), dict.fromkeys(_items(after))  # looked up, not searched: both may be long
    return Difference(
        field=field,
        before=before,
        after=after,
        added=tuple(each for each in has if each not in had),
        removed=tuple(each for each in had if each not in has),
    )


def _items(value: object) -> Collection[str]:
    """The parts that come and go by themselves; of a single value none."""
    if isinstance(value, Mapping):
        return [f"{name}: {its}" for name, its in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(each) for each in value]
    return ()


def filled(facts: Facts) -> dict[str, object]:
    """The facts without what is empty: that is what a document leaves out. What is off is not empty."""
    return {field: value for field, value in facts.items() if value not in (None, "", (), []) and value != {}}
