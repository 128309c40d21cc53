"""Create, edit, delete and find roles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Select

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.db import Tx
from authsec_server.failures import FailureList, SlugTaken
from authsec_server.principal import Act, Role
from authsec_server.revisions import checked, edited, plain, require_current
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.roles import store
from authsec_server.roles.model import EDITABLE, GRANTING, RoleDefinition
from authsec_server.slug_lookup import SlugLookup

_ROLES = SlugLookup(table=store.roles, load=store.loaded, noun="role", command="roles")
find = _ROLES.find
get = _ROLES.get
which = _ROLES.which
page = _ROLES.page
search = _ROLES.search
count = _ROLES.count


def create(
    tx: Tx, act: Act, *, name: str, actions: Sequence[str], slug: str | None = None, **described: object
) -> RoleDefinition:
    """Create a role. `described` has unverified values of the other fields in `EDITABLE`.

    Raises `Invalid`, or `Conflict` when the slug is taken. The failure has the problems of the other fields.
    """
    act.principal.require(Role.OPERATOR)
    problems = FailureList()
    with problems.collect():
        values = checked(EDITABLE, {"name": name, "actions": actions, **described})
    with problems.collect():
        free_slug = naming.chosen_slug(slug, name)
        if taken := find(tx, free_slug):
            raise SlugTaken(free_slug, taken, called=f"the role {taken.name!r} ({taken.id})")
    problems.raise_all()
    role = RoleDefinition(id=act.new_id(), slug=free_slug, **values, created_at=act.now)
    store.add(tx.connection, role)
    audit.record_act(
        tx,
        act,
        EventKind.ROLE_CREATED,
        roles=(Named(id=role.id, name=role.name),),
        detail={"slug": role.slug, **plain(EDITABLE, role)},
    )
    return role


def edit(tx: Tx, act: Act, id_or_slug: str, *, revision: int, changes: Mapping[str, object]) -> RoleDefinition:
    """Edit the role. Removing an action revokes the role's tokens. `revision` is the revision that the editor read.

    `changes` has unverified values of fields in `EDITABLE`. The other fields stay as they are. An edit that changes
    nothing is recorded if it names `actions`, as in `revisions.edit_detail`.

    Raises `Invalid`, `NotFound` or `Outdated`.
    """
    act.principal.require(Role.OPERATOR)
    role = get(tx, act, id_or_slug)
    require_current(role, revision, "This role")
    after, detail = edited(role, act, EDITABLE, changes, granting=GRANTING)
    if not detail:
        return role
    store.save(tx.connection, after, act.new_edit_id())
    narrows = not set(role.actions) <= set(after.actions)
    ended = [revocations.end(tx, SubjectKind.ROLE, role.slug, act.now)] if narrows else []
    detail |= revocations.as_detail(*ended)
    audit.record_act(tx, act, EventKind.ROLE_EDITED, roles=(Named(id=role.id, name=after.name),), detail=detail)
    return after


def remove(tx: Tx, act: Act, role: RoleDefinition, *, delegations: tuple[Named, ...]) -> None:
    """Delete an unused role and revoke its tokens. `delegations` are the delegations that were deleted with the role.

    Only `delegations.service` calls this function, because it can find the uses of a role. The database refuses
    the deletion while a delegation refers to the role.
    """
    act.principal.require(Role.OPERATOR)
    store.remove(tx.connection, role.id)
    revocations.end(tx, SubjectKind.ROLE, role.slug, act.now)
    audit.record_act(
        tx,
        act,
        EventKind.ROLE_DELETED,
        roles=(Named(id=role.id, name=role.name),),
        delegations=delegations,
        detail={"slug": role.slug, "actions": list(role.actions)},
    )


def by_ids(tx: Tx, ids: Collection[str]) -> dict[str, RoleDefinition]:
    """Map these ids to their roles.

    This function checks no permission: other packages of the server call it.
    """
    return store.by_ids(tx.connection, ids)


def held(tx: Tx, among: Collection[str]) -> frozenset[str]:
    """Return the actions in `among` that at least one role contains.

    This function checks no permission: other packages of the server call it.
    """
    return store.held(tx.connection, among)


def actions_of_roles() -> Select[tuple[str, str]]:
    """Return a subquery of the id of each role with each of its actions. Other packages of the server use it."""
    return store.actions_of_roles()


def ids_matching(text: str) -> Select[tuple[str]]:
    """Return a subquery of the ids of the roles that `page` finds for the text. Other packages of the server use it."""
    return store.ids_matching(text)
