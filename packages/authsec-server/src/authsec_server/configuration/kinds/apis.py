"""Protected APIs in a document."""

from __future__ import annotations

from functools import partial

from authsec_server import naming
from authsec_server.apis import service
from authsec_server.apis.model import Action, Api, ApiKind, parse_described, parse_identifier
from authsec_server.configuration.document import ApiShape
from authsec_server.configuration.immutables import new_slug, require_kind
from authsec_server.configuration.model import UNMADE, Facts, Section, filled
from authsec_server.configuration.steps import PlannedStep, PlanTurn, making, removing
from authsec_server.db import Tx
from authsec_server.principal import Act


def exported(api: Api) -> Facts:
    """Return the API as a document contains it."""
    return {field: its for field, its in facts(api).items() if field != "kind" or api.kind is not ApiKind.API}


def facts(api: Api) -> Facts:
    """Return the API's values for the comparison with a document."""
    its = {"name": api.name, "kind": api.kind.value, "identifier": api.identifier, "description": api.description}
    return filled({**its, "actions": {each.action: each.description for each in api.actions}})


def step(slug: str, shape: ApiShape, held: Api | None) -> PlannedStep | None:
    """Plan the change that makes the API match the document; None if it matches already. Raises `Invalid`."""
    if held is not None:
        require_kind(held.kind, shape.kind, told=f"registered as {held.kind}")
    wanted = Api(
        id="",
        slug=slug if held else new_slug(slug),
        name=naming.name("name", slug if shape.name is None else shape.name),
        kind=ApiKind(shape.kind),
        identifier=parse_identifier(shape.identifier),
        description=naming.text("description", shape.description),
        actions=parse_described(Action(action=each, description=its) for each, its in shape.actions.items()),
        created_at=UNMADE,
    )
    before, do = (facts(held), partial(_edit, held, wanted)) if held else (None, partial(_create, wanted))
    return making(Section.APIS, slug, before, facts(wanted), turn=PlanTurn.APIS, do=do)


def removal_step(held: Api) -> PlannedStep:
    """Plan the deletion of the API."""
    do = partial(service.delete, id_or_slug=held.id)
    return removing(Section.APIS, held.slug, facts(held), turn=PlanTurn.DELETE_APIS, do=do)


def _create(wanted: Api, tx: Tx, act: Act) -> object:
    return service.create(
        tx,
        act,
        kind=wanted.kind,
        slug=wanted.slug,
        name=wanted.name,
        identifier=wanted.identifier,
        description=wanted.description,
        actions=wanted.actions,
    )


def _edit(held: Api, wanted: Api, tx: Tx, act: Act) -> object:
    return service.edit(
        tx,
        act,
        held.id,
        revision=held.revision,
        name=wanted.name,
        identifier=wanted.identifier,
        description=wanted.description,
        actions=wanted.actions,
    )
