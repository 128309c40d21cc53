"""Roles in a document."""

from __future__ import annotations

from functools import partial

from authsec_server.configuration.document import RoleShape
from authsec_server.configuration.model import UNMADE, Facts, Section, filled, new_slug
from authsec_server.configuration.steps import PlannedStep, PlanTurn, making, removing
from authsec_server.delegations import service as delegations
from authsec_server.revisions import checked, plain
from authsec_server.roles import service
from authsec_server.roles.model import EDITABLE, RoleDefinition


def exported(role: RoleDefinition) -> Facts:
    """Return the role as a configuration document writes it."""
    return facts(role)


def facts(role: RoleDefinition) -> Facts:
    """Return the role's values for the comparison with a document."""
    return filled(plain(EDITABLE, role))


def step(slug: str, shape: RoleShape, held: RoleDefinition | None) -> PlannedStep | None:
    """Plan the change that makes the role match the document; None if it matches already. Raises `Invalid`."""
    said = {**dict(shape), "name": slug if shape.name is None else shape.name}
    slug = slug if held else new_slug(slug)
    wanted = RoleDefinition(id="", slug=slug, **checked(EDITABLE, said), created_at=UNMADE)
    create = partial(service.create, slug=slug, **said)
    edit = partial(service.edit, id_or_slug=held.id, revision=held.revision, changes=said) if held else None
    before = facts(held) if held else None
    return making(Section.ROLES, slug, before, facts(wanted), turn=PlanTurn.ROLES, do=edit or create)


def removal_step(held: RoleDefinition) -> PlannedStep:
    """Plan the deletion of the role."""
    do = partial(delegations.delete_role, role_id=held.id)
    return removing(Section.ROLES, held.slug, facts(held), turn=PlanTurn.DELETE_ROLES, do=do)
