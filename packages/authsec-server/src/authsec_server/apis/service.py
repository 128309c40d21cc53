"""The verbs of protected APIs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from authsec_server import naming
from authsec_server.apis import store
from authsec_server.apis.model import Action, Api, ApiKind, Described, parse_described, parse_identifier
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Invalid, NotFound
from authsec_server.principal import Act, Role
from authsec_server.revisions import changed, edit_detail, require_current
from authsec_server.suggest import nearest

FEW = 500  # actions or audiences that are asked for one by one


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


def edit(
    tx: Tx,
    act: Act,
    id_or_slug: str,
    *,
    revision: int,
    name: str,
    identifier: str,
    description: str,
    actions: Sequence[Action],
) -> Api:
    """Give the API these values; what changes nothing is not recorded.

    With another `identifier` it stands for another audience. Delegations name audiences, not APIs, so those that name
    the old one keep it: `delegations.consequences.of_api` says which. `revision` is the one that the editor had read.
    Raises `Invalid`, `NotFound`, `Conflict` or `Outdated`.
    """
    act.principal.require(Role.OPERATOR)
    api = get(tx, act, id_or_slug)
    require_current(api, revision, "This API")
    edited = changed(
        api,
        act,
        name=naming.name("name", name),
        identifier=parse_identifier(identifier),
        description=naming.text("description", description),
        actions=parse_described(actions),
    )
    detail = edit_detail(edited.revision, _as_edited(api), _as_edited(edited))
    if not detail:
        return api
    _refuse_taken(tx, edited)
    store.save(tx.connection, edited)
    audit.record_act(tx, act, EventKind.API_EDITED, subject=Named(id=api.id, name=edited.name), detail=detail)
    return edited


def delete(tx: Tx, act: Act, id_or_slug: str) -> Api:
    """Forget the API: its words for actions, and its slug as a name of its audience. Raises `NotFound`.

    Delegations that name its audience keep it, and tokens for it stay good: that is what revoking them is for.
    """
    act.principal.require(Role.OPERATOR)
    api = get(tx, act, id_or_slug)
    store.remove(tx.connection, api.id)
    detail = {"slug": api.slug, "kind": api.kind, **_as_edited(api)}
    audit.record_act(tx, act, EventKind.API_DELETED, subject=Named(id=api.id, name=api.name), detail=detail)
    return api


def get(tx: Tx, act: Act, id_or_slug: str) -> Api:
    """The API, by its id or slug. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    known = naming.is_uuid(id_or_slug) or naming.is_slug(id_or_slug)
    api = store.find(tx.connection, id_or_slug) if known else None
    if api is None:
        raise NotFound(f"There is no API {naming.quoted(id_or_slug)}.", which(tx, id_or_slug))
    return api


def which(tx: Tx, asked: str) -> str:
    """How to find the API that was meant. Asks for no principal: for the rooms above."""
    return naming.meant(asked, lambda slug: store.slugs_near(tx.connection, slug), "See the list: authsec apis list")


def page(tx: Tx, act: Act, *, text: str = "", after: str = "", limit: int = 50) -> tuple[list[Api], str | None]:
    """APIs in the order of their slugs, from the first behind the slug `after`; and where the next page begins.

    With `text`, those whose name, slug or identifier contains it, or whose id begins with it.
    """
    act.principal.require(Role.VIEWER)
    if after and not naming.is_slug(after):
        raise Invalid("cursor", "This cursor is not one that a list gave out.", "Begin at the first page.")
    found = store.page(tx.connection, text=text, after=after, limit=limit + 1)
    return found[:limit], found[limit - 1].slug if len(found) > limit else None


def search(tx: Tx, act: Act, text: str, *, limit: int = 8) -> list[Api]:
    """The first APIs that `page` would find for the text; for none, none."""
    return page(tx, act, text=text, limit=limit)[0] if text else []


def describing(tx: Tx, act: Act, actions: Collection[str]) -> dict[str, tuple[Described, ...]]:
    """What each of the actions means, at each API that describes it; actions that none describes are left out."""
    act.principal.require(Role.VIEWER)
    return store.describing(tx.connection, actions)


def described(tx: Tx, *, among: Collection[str] | None = None) -> dict[str, str]:
    """Every action that some API describes, with its description. Asks for no principal: for the rooms above.

    `among`: of those at least; where there are many APIs, whoever needs a few should not wait for all.
    """
    return store.described(tx.connection, _few(among))


def identifiers(tx: Tx, *, among: Collection[str] | None = None) -> frozenset[str]:
    """The audiences of all registered APIs; `among` as for `described`. Asks for no principal, as that."""
    if among is not None and not among:
        return frozenset()
    return store.identifiers(tx.connection, _few(among))


def is_any_registered(tx: Tx) -> bool:
    """Whether there is an API. Asks for no principal: for the rooms above."""
    return store.is_any_registered(tx.connection)


def _few(among: Collection[str] | None) -> Collection[str] | None:
    """No statement takes any number of values, and to ask for so many singly is slower than to read all."""
    return among if among is not None and len(among) <= FEW else None


def by_identifiers(tx: Tx, identifiers: Collection[str]) -> dict[str, Api]:
    """The APIs with these audiences, by audience. Asks for no principal: for the rooms above."""
    return {api.identifier: api for api in store.known_as(tx.connection, *identifiers) if api.identifier in identifiers}


def resolve(tx: Tx, text: str) -> str | None:
    """The identifier of the API whose slug or identifier `text` is. Asks for no principal: for the rooms above."""
    if "\0" in text:  # PostgreSQL takes none, and no API is called so
        return None
    return store.identifier_of(tx.connection, text)


def near(tx: Tx, name: str) -> str:
    """The slug of an API that is spelt much like this registered name; empty for a URL, and where none is.

    Asks for no principal: for the rooms above.
    """
    return "" if "://" in name else nearest(name, store.slugs_near(tx.connection, name))


def named(tx: Tx, act: Act, identifier: str) -> Api | None:
    """The API that has this audience, or this slug."""
    act.principal.require(Role.VIEWER)
    found = store.known_as(tx.connection, identifier) if "\0" not in identifier else []
    return found[0] if found else None


def _refuse_taken(tx: Tx, api: Api) -> None:
    """Slugs and identifiers share one space: whoever names an audience must mean one API."""
    for taken in store.known_as(tx.connection, api.slug, api.identifier):
        if taken.id == api.id:
            continue
        what = "slug" if api.slug in {taken.slug, taken.identifier} else "identifier"
        given = api.slug if what == "slug" else api.identifier
        raise Conflict(
            f"The {what} {given} already names the API {taken.name!r} ({taken.slug}).",
            f"Give another {what}.",
            field=what,
        )


def _as_edited(api: Api) -> dict[str, object]:
    return {
        "name": api.name,
        "identifier": api.identifier,
        "description": api.description,
        "actions": {each.action: each.description for each in api.actions},
    }
