"""Protected APIs in a document."""

from __future__ import annotations

from functools import partial
from typing import Any

from authsec_server.apis import service
from authsec_server.apis.model import EDITABLE, Action, Api, ApiKind
from authsec_server.configuration.document import ApiShape
from authsec_server.configuration.model import UNMADE, Facts, Section, filled, new_slug, require_kind
from authsec_server.configuration.steps import PlannedStep, PlanTurn, making, removing
from authsec_server.keys.model import Algorithm
from authsec_server.revisions import checked, plain

_DEFAULTS = {"kind": ApiKind.API.value, "signing_algorithm": Algorithm.RS256.value}


def exported(api: Api) -> Facts:
    """Return the API as a configuration document writes it, without the defaults."""
    return {field: its for field, its in facts(api).items() if _DEFAULTS.get(field) != its}


def facts(api: Api) -> Facts:
    """Return the API's values for the comparison with a document."""
    return filled({"name": api.name, "kind": api.kind.value, **plain(EDITABLE, api)})


def step(slug: str, shape: ApiShape, held: Api | None) -> PlannedStep | None:
    """Plan the change that makes the API match the document; None if it matches already. Raises `Invalid`."""
    if held is not None:
        require_kind(held.kind, shape.kind, told=f"registered as {held.kind}")
    said = _said(slug, shape)
    slug = slug if held else new_slug(slug)
    wanted = Api(id="", slug=slug, kind=ApiKind(shape.kind), **checked(EDITABLE, said), created_at=UNMADE)
    create = partial(service.create, slug=slug, kind=wanted.kind, **said)
    edit = partial(service.edit, id_or_slug=held.id, revision=held.revision, changes=said) if held else None
    before = facts(held) if held else None
    return making(Section.APIS, slug, before, facts(wanted), turn=PlanTurn.APIS, do=edit or create)


def removal_step(held: Api) -> PlannedStep:
    """Plan the deletion of the API."""
    do = partial(service.delete, id_or_slug=held.id)
    return removing(Section.APIS, held.slug, facts(held), turn=PlanTurn.DELETE_APIS, do=do)


def _said(slug: str, shape: ApiShape) -> dict[str, Any]:
    """Return the editable fields of the API in the document, not validated."""
    its = {field: getattr(shape, field) for field in EDITABLE}
    actions = [Action(action=each, description=text) for each, text in shape.actions.items()]
    return {**its, "name": slug if shape.name is None else shape.name, "actions": actions}
