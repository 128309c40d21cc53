"""Find agents, APIs, roles and trusted issuers by id or slug, suggest similar slugs, and list in slug order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, select

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.db.matching import count_up_to, matches, neighbours
from authsec_server.failures import Invalid, NotFound
from authsec_server.principal import Act, Role


class HasSlug(Protocol):
    """An entity with a slug."""

    @property
    def slug(self) -> str:
        """Return the slug."""


T = TypeVar("T", bound=HasSlug)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlugLookup(Generic[T]):
    """The entities of one table. `load` runs a SELECT on the table and returns the entities.

    `noun` and `command` are for messages: `role`, `roles`. A search by text looks at id, name and slug, and at the
    columns in `also`.
    """

    table: Table
    load: Callable[[Connection, Select[Any]], list[T]]
    noun: str
    command: str
    also: tuple[Column[Any], ...] = ()

    def find(self, tx: Tx, id_or_slug: str) -> T | None:
        """Return the entity with this id or slug.

        This function checks no permission: other packages of the server call it.
        """
        if not naming.is_uuid(id_or_slug) and not naming.is_slug(id_or_slug):
            return None
        column = self.table.c.id if naming.is_uuid(id_or_slug) else self.table.c.slug
        found = self.load(tx.connection, select(self.table).where(column == id_or_slug))
        return naming.only_one(found, id_or_slug)

    def get(self, tx: Tx, act: Act, id_or_slug: str) -> T:
        """Return the entity with this id or slug. Raises `NotFound`."""
        act.principal.require(Role.VIEWER)
        found = self.find(tx, id_or_slug)
        if found is None:
            raise NotFound(self.not_found_message(id_or_slug), self.which(tx, id_or_slug))
        return found

    def not_found_message(self, asked: str) -> str:
        """Return the message for an unknown id or slug."""
        return f"There is no {self.noun} {naming.quoted(asked)}."

    def which(self, tx: Tx, asked: str) -> str:
        """Return a hint that says how to find the intended entity.

        This function checks no permission: other packages of the server call it.
        """
        hint = f"See the list: authsec {self.command} list"
        return naming.meant(asked, lambda slug: neighbours(tx.connection, self.table.c.slug, slug), hint)

    def page(self, tx: Tx, act: Act, *, text: str = "", after: str = "", limit: int = 50) -> tuple[list[T], str | None]:
        """Return the entities after the slug `after`, in slug order, and the cursor of the next page.

        `text` selects the entities whose name, slug or further column contains it, or whose id begins with it.
        """
        act.principal.require(Role.VIEWER)
        if after and not naming.is_slug(after):
            raise Invalid("cursor", "This cursor does not come from a list.", "Start at the first page.")
        columns = self.table.c
        behind = select(self.table).where(columns.slug > after).order_by(columns.slug).limit(limit + 1)
        if text:
            behind = behind.where(self._matching(text))
        found = self.load(tx.connection, behind)
        return found[:limit], found[limit - 1].slug if len(found) > limit else None

    def count(self, tx: Tx, act: Act, text: str, *, most: int) -> int:
        """Return the number of entities that `page` finds for the text, at most `most`."""
        act.principal.require(Role.VIEWER)
        return count_up_to(tx.connection, select(self.table.c.id).where(self._matching(text)), most)

    def _matching(self, text: str) -> ColumnElement[bool]:
        columns = self.table.c
        return matches(text, columns.id, columns.name, columns.slug, *self.also)

    def search(self, tx: Tx, act: Act, text: str, *, limit: int = 8) -> list[T]:
        """Return the first entities that `page` finds for the text; an empty text finds none."""
        return self.page(tx, act, text=text, limit=limit)[0] if text else []
