"""Tables of roles and their actions, and the queries."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Integer,
    Row,
    Select,
    String,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from authsec_server.db import rows
from authsec_server.db.matching import in_batches, matches
from authsec_server.db.schema import Instant, metadata
from authsec_server.roles.model import RoleDefinition

_AT_ONCE = 10_000

roles = Table(
    "roles",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("changed_at", Instant),
    Column("changed_by", Text),
)

role_actions = Table(
    "role_actions",
    metadata,
    Column("role_id", String(36), ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Column("action", String(127), primary_key=True),
    Column("edit_id", String(16), nullable=False, server_default=""),  # random: see `save`
)


def add(connection: Connection, role: RoleDefinition) -> None:
    """Insert the role and its actions."""
    connection.execute(insert(roles), rows.write(roles, role))
    _add_actions(connection, role, "")  # the role's id is random, so no row needs another random id


def save(connection: Connection, role: RoleDefinition, edit_id: str) -> None:
    """Update the row of the role, and write the rows of all its actions with the id of this edit.

    The attack: raw SQL takes an action away before an edit that takes the action away, and inserts the row again
    afterwards. Without the id, the edit would change no row of an action, and so no digest (`table_digests`). The id
    is random: raw SQL could write the next revision in advance.
    """
    connection.execute(update(roles).where(roles.c.id == role.id), rows.write(roles, role))
    connection.execute(delete(role_actions).where(role_actions.c.role_id == role.id))
    _add_actions(connection, role, edit_id)


def remove(connection: Connection, role_id: str) -> None:
    """Delete the role with its actions."""
    connection.execute(delete(roles).where(roles.c.id == role_id))


def _add_actions(connection: Connection, role: RoleDefinition, edit_id: str) -> None:
    its = {"role_id": role.id, "edit_id": edit_id}
    connection.execute(insert(role_actions), [{**its, "action": action} for action in role.actions])


def by_ids(connection: Connection, ids: Collection[str]) -> dict[str, RoleDefinition]:
    """Map these ids to their roles. Unknown ids are left out. Each statement loads up to 10,000 ids."""
    found: dict[str, RoleDefinition] = {}
    for some in in_batches(ids, _AT_ONCE):  # events that raw SQL inserted may name any number of roles
        found |= {role.id: role for role in _read(connection.execute(_BY_IDS, {"ids": some}))}
    return found


def held(connection: Connection, among: Collection[str]) -> frozenset[str]:
    """Return the actions in `among` that at least one role contains."""
    found: set[str] = set()
    for some in in_batches(among, _AT_ONCE):
        found.update(connection.execute(select(role_actions.c.action).where(role_actions.c.action.in_(some))).scalars())
    return frozenset(found)


def actions_of_roles() -> Select[tuple[str, str]]:
    """Return a subquery of the id of each role with each of its actions."""
    return select(role_actions.c.role_id, role_actions.c.action)


def ids_matching(text: str) -> Select[tuple[str]]:
    """Return a subquery of the ids of the roles that match the text."""
    return select(roles.c.id).where(_matches(text))


def _matches(text: str) -> ColumnElement[bool]:
    return matches(text, roles.c.id, roles.c.name, roles.c.slug)


def loaded(connection: Connection, statement: Select[Any]) -> list[RoleDefinition]:
    """Load the roles of this statement and their actions.

    One SQL statement loads both, because token requests wait for the result.
    """
    return _read(connection.execute(_with_actions(statement)))


def _with_actions(statement: Select[Any]) -> Select[Any]:
    wanted = statement.subquery()
    joined = select(wanted, role_actions.c.action).outerjoin(role_actions, role_actions.c.role_id == wanted.c.id)
    return joined.order_by(wanted.c.slug)


# Made once: token requests wait for it, and to make it takes as long as to execute it.
_BY_IDS: Final = _with_actions(select(roles).where(roles.c.id.in_(bindparam("ids", expanding=True))))


def _read(joined: Iterable[Row[Any]]) -> list[RoleDefinition]:
    found: dict[str, list[Row[Any]]] = {}
    for row in joined:
        found.setdefault(row.id, []).append(row)
    return [rows.read(RoleDefinition, its[0], actions=_actions(its)) for its in found.values()]


def _actions(joined: list[Row[Any]]) -> tuple[str, ...]:
    return tuple(sorted(row.action for row in joined if row.action is not None))
