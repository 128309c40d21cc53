"""Roles in a document."""

from __future__ import annotations

from functools import partial
from typing import Any

from authsec_server.configuration.document import RoleShape
from authsec_server.configuration.model import UNMADE, Facts, Section, filled, new_slug
from authsec_server.configuration.steps import PlannedStep, PlanTurn, making, removing
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.principal import Act
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
    before, do = (facts(held), partial(_edit, held, said)) if held else (None, partial(_create, slug, said))
    return making(Section.ROLES, slug, before, facts(wanted), turn=PlanTurn.ROLES, do=do)


def removal_step(held: RoleDefinition) -> PlannedStep:
    """Plan the deletion of the role."""
    do = partial(delegations.delete_role, role_id=held.id)
    return removing(Section.ROLES, held.slug, facts(held), turn=PlanTurn.DELETE_ROLES, do=do)


def _create(slug: str, said: dict[str, Any], tx: Tx, act: Act) -> object:
    return service.create(tx, act, slug=slug, **said)


def _edit(held: RoleDefinition, said: dict[str, Any], tx: Tx, act: Act) -> object:
    return service.edit(tx, act, held.id, revision=held.revision, changes=said)
