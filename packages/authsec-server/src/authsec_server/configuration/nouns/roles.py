"""Roles in a document."""

from __future__ import annotations

from functools import partial

from authsec_server import naming
from authsec_server.configuration.model import UNMADE, Change, Facts, Section, Verb, differences, filled
from authsec_server.configuration.shapes import RoleShape
from authsec_server.configuration.steps import Step, Turn
from authsec_server.db import Tx
from authsec_server.delegations import removal
from authsec_server.principal import Act
from authsec_server.roles import service
from authsec_server.roles.model import RoleDefinition, parse_actions


def exported(role: RoleDefinition) -> Facts:
    """The role as it stands in a document."""
    return facts(role)


def facts(role: RoleDefinition) -> Facts:
    """The role as it is compared."""
    return filled({"name": role.name, "description": role.description, "actions": list(role.actions)})


def step(slug: str, shape: RoleShape, held: RoleDefinition | None) -> Step | None:
    """What makes the role what the document says; None where it is that. Raises `Invalid`."""
    wanted = RoleDefinition(
        id="",
        slug=slug if held else naming.slug("slug", slug),
        name=naming.name("name", slug if shape.name is None else shape.name),
        description=naming.text("description", shape.description),
        actions=parse_actions(shape.actions),
        created_at=UNMADE,
    )
    differing = differences(facts(held) if held else None, facts(wanted))
    if not differing:
        return None
    verb, do = (Verb.EDIT, partial(_edit, held, wanted)) if held else (Verb.CREATE, partial(_create, wanted))
    change = Change(verb=verb, section=Section.ROLES, slug=slug, differences=differing)
    return Step(change=change, parts=((Turn.ROLES, do),))


def removal_step(held: RoleDefinition) -> Step:
    """What takes the role away."""
    change = Change(verb=Verb.REMOVE, section=Section.ROLES, slug=held.slug, differences=differences(facts(held), {}))
    return Step(change=change, parts=((Turn.DELETE_ROLES, lambda tx, act: removal.delete_role(tx, act, held.id)),))


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
