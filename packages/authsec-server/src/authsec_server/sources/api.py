"""Trust sources over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.failures import Unavailable
from authsec_server.principal import Act
from authsec_server.sources import parsing, service
from authsec_server.sources.asking_first import require_answers
from authsec_server.sources.cluster_apis import ClusterApis
from authsec_server.sources.freshness import KeysState
from authsec_server.sources.key_sets import KeySets
from authsec_server.sources.lookups import Lookup, LookupState, LookupUnavailable
from authsec_server.sources.model import KeysUnavailable, TrustSource, looks_up_pods, provable
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.routing import Handler, resource
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/sources"
Verb = Callable[[Tx, Act, str], TrustSource]


class Edit(Protocol):
    """Changes a source, and what has to follow."""

    def __call__(
        self, tx: Tx, act: Act, id_or_slug: str, /, *, revision: int, changes: parsing.Changes, may_look_up: bool
    ) -> TrustSource: ...


class NewSource(Body):
    """A trust source to be registered."""

    name: str
    kind: str
    issuer: str
    keys_from: str
    slug: str | None = None
    keys_url: str = ""
    given_keys: dict[str, Any] | None = Field(default=None, repr=False)  # somebody will paste private ones
    ca: str = ""
    audience: str = ""
    claims: dict[str, str] = Field(default_factory=dict)
    preset: str = ""
    api_server: str = ""
    api_ca: str = ""
    credentials: str = ""
    token_review: bool = False
    pod_lookup: bool = False


class Changes(Body):
    """What an edit asks for; what is left out stays. `revision` is the one that the editor had read.

    `anyway`: look-ups are turned on although the cluster does not answer.
    """

    revision: int
    name: str | None = None
    issuer: str | None = None
    keys_from: str | None = None
    keys_url: str | None = None
    given_keys: dict[str, Any] | None = Field(default=None, repr=False)
    ca: str | None = None
    audience: str | None = None
    claims: dict[str, str] | None = None
    api_server: str | None = None
    api_ca: str | None = None
    credentials: str | None = None
    token_review: bool | None = None
    pod_lookup: bool | None = None
    anyway: bool = False


def routes(
    site: Site,
    key_sets: KeySets,
    cluster_apis: ClusterApis,
    *,
    issuer: str,
    edit: Edit,
    disable: Verb,
    enable: Verb,
) -> list[Route]:
    """The routes of this room. `issuer` is this authority's own, which tokens are for unless their source says else.

    `edit`, `disable` and `enable` are the verbs of `clients`, which has to follow.
    """

    def answer(source: TrustSource) -> JSONResponse:
        return JSONResponse(as_json(source, issuer))

    async def create(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = parsing.NewSource(**dict(await read_body(request, NewSource)))
        source = await site.change(
            act, lambda tx, act: service.create(tx, act, asked, may_look_up=cluster_apis.possible)
        )
        return JSONResponse(as_json(source, issuer), 201, {"Location": f"{PATH}/{source.id}"})

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, naming.is_slug)
        found, following = await site.read(lambda tx: service.page(tx, act, after=asked.after, limit=asked.limit))
        return page_answer((as_json(source, issuer) for source in found), following)

    async def show(request: Request) -> JSONResponse:
        act = await site.act(request)
        return answer(await site.read(lambda tx: service.get(tx, act, _which(request))))

    async def change(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = dict(await read_body(request, Changes))
        revision, anyway = asked.pop("revision"), asked.pop("anyway", False)
        changes = parsing.Changes(**asked)
        if not anyway:
            before = await site.read(lambda tx: service.to_refresh(tx, act, _which(request)))
            await run_in_threadpool(require_answers, cluster_apis, before, revision=revision, changes=changes)
        return answer(
            await site.change(
                act,
                lambda tx, act: edit(
                    tx, act, _which(request), revision=revision, changes=changes, may_look_up=cluster_apis.possible
                ),
            )
        )

    def turn(verb: Verb) -> Handler:
        async def handle(request: Request) -> JSONResponse:
            act = await site.act(request)
            return answer(await site.change(act, lambda tx, act: verb(tx, act, _which(request))))

        return handle

    return [
        resource(PATH, get=page, post=create),
        resource(PATH + "/{source}", get=show, post=change),
        resource(PATH + "/{source}/disable", post=turn(disable)),
        resource(PATH + "/{source}/enable", post=turn(enable)),
        resource(
            PATH + "/{source}/lookups",
            get=_lookups(site, service.get, cluster_apis.state),
            post=_lookups(site, service.to_refresh, cluster_apis.check),
        ),
        resource(PATH + "/{source}/keys", get=_keys(site, service.get, key_sets.state)),
        resource(PATH + "/{source}/refresh", post=_keys(site, service.to_refresh, key_sets.refresh)),
    ]


def as_json(source: TrustSource, issuer: str) -> dict[str, Any]:
    """The source as the admin API shows it. `token_audience` is what its tokens must be for, as it stands."""
    return {
        "id": source.id,
        "slug": source.slug,
        "name": source.name,
        "kind": source.kind,
        "issuer": source.issuer,
        "keys_from": source.keys_from,
        "keys_url": source.keys_url or None,
        "given_keys": source.given_keys,
        "ca": source.ca or None,
        "audience": source.audience or None,
        "token_audience": source.audience or issuer,
        "claims": dict(source.claims),
        "api_server": source.cluster.url if source.cluster else None,
        "api_ca": (source.cluster.ca if source.cluster else "") or None,
        "credentials": source.cluster.credentials if source.cluster else None,
        "token_review": source.cluster is not None and source.cluster.reviews,
        "pod_lookup": looks_up_pods(source),
        "proves": list(provable(source)),
        "enabled": source.enabled,
        "created_at": rfc3339(source.created_at),
        "revision": source.revision,
        "changed_at": rfc3339(source.changed_at),
    }


def keys_json(state: KeysState) -> dict[str, Any]:
    """How a source's keys stand."""
    return {
        "condition": state.condition,
        "keys": [
            {"kid": kid, "kty": key.kind, "algorithms": sorted(key.algorithms), "thumbprint": key.thumbprint()}
            for kid, key in state.keys.items()
        ],
        "fetched_at": rfc3339(state.fetched_at),
        "fresh_until": rfc3339(state.fresh_until),
        "usable_until": rfc3339(state.usable_until),
        "failed_at": rfc3339(state.failed_at),
        "failure": state.failure or None,
    }


def lookup_json(state: LookupState) -> dict[str, Any]:
    """How a look-up went last, in the process that answers."""
    return {
        "answered_at": rfc3339(state.answered_at),
        "failed_at": rfc3339(state.failed_at),
        "failure": state.failure or None,
    }


def _keys(site: Site, find: Callable[[Tx, Act, str], TrustSource], look: Callable[[TrustSource], KeysState]) -> Handler:
    """A handler that answers how the keys of the source stand, by `look`; it asks outside of any transaction."""

    async def handle(request: Request) -> JSONResponse:
        act = await site.act(request)
        source = await site.read(lambda tx: find(tx, act, _which(request)))
        try:
            return JSONResponse(keys_json(await run_in_threadpool(look, source)))
        except KeysUnavailable as error:
            raise Unavailable(error.sentence) from None

    return handle


def _lookups(
    site: Site,
    find: Callable[[Tx, Act, str], TrustSource],
    look: Callable[[TrustSource], Mapping[Lookup, LookupState]],
) -> Handler:
    """A handler that answers how the look-ups of the source stand, by `look`; it asks outside of any transaction."""

    async def handle(request: Request) -> JSONResponse:
        act = await site.act(request)
        source = await site.read(lambda tx: find(tx, act, _which(request)))
        try:
            states = await run_in_threadpool(look, source)
        except LookupUnavailable as error:
            raise Unavailable(error.sentence) from None
        return JSONResponse({lookup.value: lookup_json(state) for lookup, state in states.items()})

    return handle


def _which(request: Request) -> str:
    """The source that the path names, by id or slug."""
    reference: str = request.path_params["source"]
    return reference
