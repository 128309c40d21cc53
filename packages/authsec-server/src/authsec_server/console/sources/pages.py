"""The list of trust sources, and one of them: its keys, what it proves, and who rests on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients import bindings
from authsec_server.clients.bindings import RestingProof, Users
from authsec_server.clients.selectors.parsing import KEYS
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Failure, Unavailable
from authsec_server.sources import service as sources
from authsec_server.sources.k8s_volume import MOUNT, projected_volume
from authsec_server.sources.key_cache import KeysState
from authsec_server.sources.model import (
    KeysUnavailable,
    Lookup,
    LookupState,
    LookupUnavailable,
    TrustSource,
    provenance,
    shown_provenance,
)

PAGE = 50
SHOWN = 200  # agents that wait


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """One source, and who rests on it or could."""

    source: TrustSource
    users: Users
    waiting: Sequence[RestingProof]


def routes(console: Console) -> list[BaseRoute]:
    """The pages."""
    return [console.page("/sources", listing), console.page("/sources/{source}", detail)]


async def listing(visit: PageRequest) -> Response:
    """All sources, by slug, each with how its keys stand."""
    text, after = visit.query.text("text"), visit.query.text("cursor")
    found, following_page = await visit.read(lambda tx: sources.page(tx, visit.act, text=text, after=after, limit=PAGE))
    return visit.render(
        "sources/list.html",
        title="Trust sources",
        sources=[(source, await keys_of(visit, source)) for source in found],
        text=text,
        cursor=after,
        following=following_page,
    )


async def detail(visit: PageRequest, problem: Failure | None = None) -> Response:
    """One source."""
    about = await visit.read(lambda tx: _about(tx, visit))
    source = about.source
    audience = source.audience or visit.console.settings.issuer
    return visit.render(
        "sources/detail.html",
        title=source.name,
        problem=problem,
        source=source,
        about=about,
        most=SHOWN,
        keys=await keys_of(visit, source),
        lookups=_lookups(visit, source),
        may_look_up=visit.console.cluster_apis.possible,
        proves=[
            (key.shown, how, shown_provenance(key.key, how), key.identifies)
            for keys in KEYS.values()
            for key in keys
            for how in [provenance(source, key.key)]
        ],
        audience=audience,
        volume=projected_volume(audience),
        mount=MOUNT,
    )


def _about(tx: Tx, visit: PageRequest) -> About:
    source = sources.get(tx, visit.act, visit.request.path_params["source"])
    return About(
        source=source,
        users=bindings.users_of(tx, visit.act, source),
        waiting=bindings.waiting(tx, visit.act, source, trust_domain=visit.console.settings.trust_domain),
    )


def _lookups(visit: PageRequest, source: TrustSource) -> Mapping[Lookup, LookupState]:
    """How its look-ups went last, in this process. Raises `Unavailable`."""
    try:
        return visit.console.cluster_apis.state(source)
    except LookupUnavailable as error:
        raise Unavailable(error.sentence) from None


async def keys_of(visit: PageRequest, source: TrustSource) -> KeysState:
    """How the source's keys stand. Raises `Unavailable`."""
    try:
        return await run_in_threadpool(visit.console.key_sets.state, source)
    except KeysUnavailable as error:
        raise Unavailable(error.sentence) from None
