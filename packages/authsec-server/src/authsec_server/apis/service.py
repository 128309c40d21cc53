"""The verbs of protected APIs."""

from __future__ import annotations

from collections.abc import Sequence

from authsec_server import naming
from authsec_server.apis import store
from authsec_server.apis.model import Action, Api, ApiKind, parse_described, parse_identifier
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.db import Tx
from authsec_server.failures import Conflict, NotFound
from authsec_server.principal import Act, Role


def create(
    tx: Tx,
    act: Act,
    *,
    name: str,
    identifier: str,
    kind: ApiKind = ApiKind.API,
    slug: str | None = None,
    description: str = "",
    actions: Sequence[Action] = (),
) -> Api:
    """Register an API under its audience. Raises `Invalid`, or `Conflict` when slug or audience are taken."""
    act.principal.require(Role.OPERATOR)
    name = naming.name("name", name)
    api = Api(
        id=act.new_id(),
        slug=naming.chosen_slug(slug, name),
        name=name,
        kind=kind,
        identifier=parse_identifier(identifier),
        description=naming.text("description", description),
        actions=parse_described(actions),
        created_at=act.now,
    )
    _refuse_taken(tx, api)
    store.add(tx.connection, api)
    detail = {
        "slug": api.slug,
        "kind": api.kind,
        "identifier": api.identifier,
        "actions": [each.action for each in api.actions],
    }
    audit.record_act(tx, act, EventKind.API_CREATED, subject=Named(id=api.id, name=api.name), detail=detail)
    return api


def get(tx: Tx, act: Act, id_or_slug: str) -> Api:
    """The API, by its id or slug. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    known = naming.is_uuid(id_or_slug) or naming.is_slug(id_or_slug)
    api = store.find(tx.connection, id_or_slug) if known else None
    if api is None:
        raise NotFound(f"There is no API {naming.quoted(id_or_slug)}.", "See the list: authsec apis list")
    return api


def page(tx: Tx, act: Act, *, after: str = "", limit: int = 50) -> tuple[list[Api], str | None]:
    """APIs in the order of their slugs, from the first behind the slug `after`; and where the next page begins."""
    act.principal.require(Role.VIEWER)
    found = store.page(tx.connection, after=after, limit=limit + 1)
    return found[:limit], found[limit - 1].slug if len(found) > limit else None


def described(tx: Tx) -> dict[str, str]:
    """Every action that some API describes, with its description. Asks for no principal: for the rooms above."""
    return store.described(tx.connection)


def identifiers(tx: Tx) -> frozenset[str]:
    """The audiences of all registered APIs. Asks for no principal: for the rooms above."""
    return store.identifiers(tx.connection)


def resolve(tx: Tx, text: str) -> str | None:
    """The identifier of the API whose slug or identifier `text` is. Asks for no principal: for the rooms above."""
    if "\0" in text:  # PostgreSQL takes none, and no API is called so
        return None
    found = store.known_as(tx.connection, text)
    return found[0].identifier if found else None


def _refuse_taken(tx: Tx, api: Api) -> None:
    """Slugs and identifiers share one space: whoever names an audience must mean one API."""
    for taken in store.known_as(tx.connection, api.slug, api.identifier):
        what = "slug" if api.slug in {taken.slug, taken.identifier} else "identifier"
        given = api.slug if what == "slug" else api.identifier
        raise Conflict(
            f"The {what} {given} already names the API {taken.name!r} ({taken.slug}).", f"Give another {what}."
        )
