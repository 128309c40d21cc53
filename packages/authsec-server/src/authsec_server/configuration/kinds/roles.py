"""Roles in a document."""

from __future__ import annotations

from functools import partial

from authsec_server import naming
from authsec_server.configuration.document import RoleShape
from authsec_server.configuration.immutables import new_slug
from authsec_server.configuration.model import UNMADE, Facts, Section, filled
from authsec_server.configuration.steps import PlannedStep, PlanTurn, making, removing
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.principal import Act
from authsec_server.roles import service
from authsec_server.roles.model import RoleDefinition, parse_actions


def exported(role: RoleDefinition) -> Facts:
    """Return the role as a document contains it."""
    return facts(role)


def facts(role: RoleDefinition) -> Facts:
    """Return the role's values for the comparison with a document."""
    return filled({"name": role.name, "description": role.description, "actions": list(role.actions)})


def step(slug: str, shape: RoleShape, held: RoleDefinition | None) -> PlannedStep | None:
    """Plan the change that makes the role match the document; None if it matches already. Raises `Invalid`."""
    wanted = RoleDefinition(
        id="",
        slug=slug if held else new_slug(slug),
        name=naming.name("name", slug if shape.name is None else shape.name),
        description=naming.text("description", shape.description),
        actions=parse_actions(shape.actions),
        created_at=UNMADE,
    )
    before, do = (facts(held), partial(_edit, held, wanted)) if held else (None, partial(_create, wanted))
    return making(Section.ROLES, slug, before, facts(wanted), turn=PlanTurn.ROLES, do=do)


def removal_step(held: RoleDefinition) -> PlannedStep:
    """Plan the deletion of the role."""
    do = partial(delegations.delete_role, role_id=held.id)
    return removing(Section.ROLES, held.slug, facts(held), turn=PlanTurn.DELETE_ROLES, do=do)


def _create(wanted: RoleDefinition, tx: Tx, act: Act) -> object:
    return service.create(
        tx, act, name=wanted.name, slug=wanted.slug, description=wanted.description, actions=wanted.actions
    )


def _edit(held: RoleDefinition, wanted: RoleDefinition, tx: Tx, act: Act) -> object:
    return service.edit(
        tx,
        act,
        held.id,
        revision=held.revision,
        name=wanted.name,
        description=wanted.description,
        actions=wanted.actions,
    )
