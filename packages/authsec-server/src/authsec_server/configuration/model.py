"""The changes that a document makes, for each entity field by field, and the values that it cannot change. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from authsec_server import naming
from authsec_server.failures import Invalid

UNMADE: Final = datetime.min.replace(tzinfo=UTC)
"""The creation time of an object that exists only in the document."""

Facts = Mapping[str, object]
"""The fields of an entry, as in a document: texts, numbers, booleans, lists of texts, maps of texts. Empty fields are
left out."""


class Section(StrEnum):
    """The sections of a document, in order. The entities of a section refer only to entities of earlier sections."""

    ISSUERS = "issuers"
    APIS = "apis"
    ROLES = "roles"
    AGENTS = "agents"
    DELEGATIONS = "delegations"

    @property
    def one(self) -> str:
        """Return the name of one entity of this section, such as `role`."""
        return {
            Section.ISSUERS: "trusted issuer",
            Section.APIS: "API",
            Section.ROLES: "role",
            Section.AGENTS: "agent",
            Section.DELEGATIONS: "delegation",
        }[self]


class Verb(StrEnum):
    """The type of a change."""

    CREATE = "create"
    EDIT = "edit"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field before and after the change. For lists and maps, `added` and `removed` list the single items."""

    field: str
    before: object = None
    after: object = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of one entity.

    `unattested`: after the change, the agent needs only its client_id to get tokens. `notes` are for the person
    who decides on the change.
    """

    verb: Verb
    section: Section
    slug: str
    differences: tuple[Difference, ...]
    unattested: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note for the person who applies the document, about an entity that does not change."""

    section: Section
    slug: str
    text: str


def differences(before: Facts | None, after: Facts) -> tuple[Difference, ...]:
    """Return the fields that differ, in field order. For a new entity, `enabled: true` is left out."""
    if before is None:
        before, after = {}, {field: its for field, its in after.items() if (field, its) != ("enabled", True)}
    fields = dict.fromkeys([*before, *after])
    return tuple(
        _difference(field, before.get(field), after.get(field))
        for field in fields
        if before.get(field) != after.get(field)
    )


def _difference(field: str, before: object, after: object) -> Difference:
    had, has = dict.fromkeys(_items(before)), dict.fromkeys(_items(after))  # a dict, because both lists may be long
    return Difference(
        field=field,
        before=before,
        after=after,
        added=tuple(each for each in has if each not in had),
        removed=tuple(each for each in had if each not in has),
    )


def _items(value: object) -> Collection[str]:
    """Return the items of a list or map, as texts; nothing for a single value."""
    if isinstance(value, Mapping):
        return [f"{name}: {its}" for name, its in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(each) for each in value]
    return ()


def filled(facts: Facts) -> dict[str, object]:
    """Return the facts without empty values, because a document leaves out empty values. False is not empty."""
    return {field: value for field, value in facts.items() if value not in (None, "", (), []) and value != {}}


STAYS_OFF: Final = "This entry is disabled and stays disabled, because the document does not have `enabled: true`."


def new_slug(text: str) -> str:
    """Return the slug of a new entity. Raises `Invalid` if the text is not a slug, but for example a name."""
    if naming.is_slug(text):
        return text
    remedy = "e.g. customer-support"
    if text.isascii() and any(map(str.isalnum, text)):
        remedy = f"Use the slug {naming.slug_of('slug', text)}, and write name: {text} below it."
    raise Invalid("slug", "This is not a slug: use 1 to 63 lower-case letters, digits or hyphens.", remedy)


def require_kind(held: str, asked: str, *, told: str) -> None:
    """Raise `Invalid` if the document changes the kind of an entity. `told` describes the current kind."""
    if held != asked:
        raise Invalid(
            "kind", f"This entry is {told}, and its kind cannot be changed.", "Use another slug for the new entry."
        )
