"""Create, edit, delete and find protected APIs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from authsec_server import naming
from authsec_server.apis import store
from authsec_server.apis.model import EDITABLE, GRANTING, Action, Api, ApiKind, Described, parse_identifier
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.db import Tx
from authsec_server.db.matching import neighbours
from authsec_server.failures import Conflict, FailureList, SlugTaken
from authsec_server.keys.model import Algorithm
from authsec_server.keys.service import ALWAYS_WANTED
from authsec_server.principal import Act, Role
from authsec_server.revisions import checked, edited, plain, require_current
from authsec_server.slug_lookup import SlugLookup
from authsec_server.suggest import nearest

FEW = 500  # actions or audiences that one statement selects by value

_APIS = SlugLookup(table=store.apis, load=store.loaded, noun="API", command="apis", also=(store.apis.c.identifier,))
get = _APIS.get
which = _APIS.which
page = _APIS.page
search = _APIS.search
count = _APIS.count


def create(
    tx: Tx,
    act: Act,
    *,
    name: str,
    identifier: str,
    kind: ApiKind = ApiKind.API,
    slug: str | None = None,
    actions: Sequence[Action] = (),
    **described: object,
) -> Api:
    """Register an API under its audience. `described` has unverified values of the other fields in `EDITABLE`.

    Raises `Invalid`, or `Conflict` when slug or audience is taken. The failure has the problems of the other fields.
    """
    act.principal.require(Role.OPERATOR)
    problems = FailureList()
    with problems.collect():
        values = checked(EDITABLE, {"name": name, "identifier": identifier, "actions": actions, **described})
    with problems.collect():
        free_slug = naming.chosen_slug(slug, name)
        _refuse_taken(tx, slug=free_slug)
    with problems.collect():
        _refuse_taken(tx, identifier=parse_identifier(identifier))
    problems.raise_all()
    api = Api(id=act.new_id(), slug=free_slug, kind=kind, **values, created_at=act.now)
    store.add(tx.connection, api)
    detail = {
        "slug": api.slug,
        "kind": api.kind,
        "identifier": api.identifier,
        "signing_algorithm": api.signing_algorithm,
        "description": api.description,
        "actions": [each.action for each in api.actions],
    }
    audit.record_act(tx, act, EventKind.API_CREATED, subject=Named(id=api.id, name=api.name), detail=detail)
    return api


def edit(tx: Tx, act: Act, id_or_slug: str, *, revision: int, changes: Mapping[str, object]) -> Api:
    """Edit the API. `revision` is the revision that the editor read.

    `changes` has unverified values of fields in `EDITABLE`. The other fields stay as they are. An edit that changes
    nothing is recorded if it names a field in `GRANTING`, as in `revisions.edit_detail`.

    A new `identifier` is a new audience. Delegations with the old audience keep the old audience, because a
    delegation names an audience and not an API. `delegations.impact.of_api` lists these delegations.

    A new `signing_algorithm` signs only later tokens. Earlier tokens stay valid.
    Raises `Invalid`, `NotFound`, `Conflict` or `Outdated`.
    """
    act.principal.require(Role.OPERATOR)
    api = get(tx, act, id_or_slug)
    require_current(api, revision, "This API")
    after, detail = edited(api, act, EDITABLE, changes, granting=GRANTING)
    if not detail:
        return api
    _refuse_taken(tx, slug=after.slug, identifier=after.identifier, besides=api.id)
    store.save(tx.connection, after)
    audit.record_act(tx, act, EventKind.API_EDITED, subject=Named(id=api.id, name=after.name), detail=detail)
    return after


def delete(tx: Tx, act: Act, id_or_slug: str) -> Api:
    """Delete the API with its action descriptions and its slug. Raises `NotFound`.

    Delegations that name its audience keep that audience. Tokens for the API stay valid until they expire or
    are revoked.
    """
    act.principal.require(Role.OPERATOR)
    api = get(tx, act, id_or_slug)
    store.remove(tx.connection, api.id)
    detail = {"slug": api.slug, "kind": api.kind, **plain(EDITABLE, api)}
    audit.record_act(tx, act, EventKind.API_DELETED, subject=Named(id=api.id, name=api.name), detail=detail)
    return api


def describing(tx: Tx, act: Act, actions: Collection[str]) -> dict[str, tuple[Described, ...]]:
    """Map each action to the descriptions of all APIs that describe it. Actions without a description are left out."""
    act.principal.require(Role.VIEWER)
    return store.describing(tx.connection, actions)


def described(tx: Tx, *, among: Collection[str] | None = None) -> dict[str, str]:
    """Map every action that some API describes to its description.

    With `among`, the caller needs only these actions, which saves time if there are many APIs and few actions.
    The result may contain further actions. This function checks no permission: other packages of the server
    call it.
    """
    return store.described(tx.connection, _few(among))


def identifiers(tx: Tx, *, among: Collection[str] | None = None) -> frozenset[str]:
    """Return the audiences of all registered APIs.

    With `among`, the caller needs only these audiences, and the result may contain further audiences. This
    function checks no permission: other packages of the server call it.
    """
    if among is not None and not among:
        return frozenset()
    return store.identifiers(tx.connection, _few(among))


def algorithms(tx: Tx, audiences: Collection[str]) -> dict[str, Algorithm]:
    """Map these audiences to the signing algorithms of their tokens. Audiences with RS256 are left out.

    An audience that no API has registered has RS256. This function checks no permission: other packages of the server
    call it.
    """
    if not audiences:
        return {}
    return store.other_algorithms(tx.connection, _few(audiences))


def signing_algorithms(tx: Tx) -> frozenset[Algorithm]:
    """Return the algorithms that the authority needs keys for: RS256, and the algorithms of all APIs.

    This function checks no permission: other packages of the server call it.
    """
    return ALWAYS_WANTED | store.signing_algorithms(tx.connection)


def is_any_registered(tx: Tx) -> bool:
    """Return whether any API is registered.

    This function checks no permission: other packages of the server call it.
    """
    return store.is_any_registered(tx.connection)


def _few(among: Collection[str] | None) -> Collection[str] | None:
    """Return `among` if it has at most `FEW` values, else None, which means all values.

    A statement takes a limited number of values. For more values, it is faster to read all rows.
    """
    return among if among is not None and len(among) <= FEW else None


def by_identifiers(tx: Tx, identifiers: Collection[str]) -> dict[str, Api]:
    """Map these audiences to their APIs.

    This function checks no permission: other packages of the server call it.
    """
    return {api.identifier: api for api in store.known_as(tx.connection, *identifiers) if api.identifier in identifiers}


def resolve(tx: Tx, text: str) -> str | None:
    """Return the identifier of the API whose slug or identifier is `text`.

    This function checks no permission: other packages of the server call it.
    """
    return resolve_all(tx, [text]).get(text)


def resolve_all(tx: Tx, texts: Collection[str]) -> dict[str, str]:
    """Map the texts that are slugs or identifiers of APIs to the identifiers of these APIs.

    This function checks no permission: other packages of the server call it.
    """
    # PostgreSQL refuses NUL characters, and no API has one in its name
    possible = {text for text in texts if "\0" not in text}
    return store.identifiers_of(tx.connection, possible) if possible else {}


def near(tx: Tx, name: str) -> str:
    """Return the API slug with a spelling similar to this registered name, for suggestions.

    Return an empty string if no slug is similar, or if `name` is a URL. This function checks no permission:
    other packages of the server call it.
    """
    return "" if "://" in name else nearest(name, neighbours(tx.connection, store.apis.c.slug, name))


def named(tx: Tx, act: Act, identifier: str) -> Api | None:
    """Return the API with this audience or slug; None if there is none."""
    act.principal.require(Role.VIEWER)
    found = store.known_as(tx.connection, identifier) if "\0" not in identifier else []
    return found[0] if found else None


def _refuse_taken(tx: Tx, *, slug: str = "", identifier: str = "", besides: str = "") -> None:
    """Raise `Conflict` if an API uses the slug or the identifier, except for the API with the id `besides`.

    Slugs and identifiers share one namespace: each audience must name exactly one API.
    """
    for taken in store.known_as(tx.connection, *filter(None, (slug, identifier))):
        if taken.id == besides:
            continue
        holder = f"the API {taken.name!r} ({taken.slug})"
        if slug in {taken.slug, taken.identifier}:
            raise SlugTaken(slug, taken, called=holder, remedy="Choose another slug.")
        raise Conflict(
            f"The identifier {identifier} already belongs to {holder}.",
            "Choose another identifier.",
            field="identifier",
        )
