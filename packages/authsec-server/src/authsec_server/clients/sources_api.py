"""Over HTTP: which proofs rest on a trust source, those that wait for it, and what becomes of them with it."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.clients import bindings, following
from authsec_server.clients.bindings import Held
from authsec_server.clients.following import Users
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.sources import service as sources
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.routing import resource
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/sources/{source}"


class Wanted(Body):
    """Which proofs are to rest on the source; None for all that wait for one like it."""

    proofs: list[str] | None = Field(default=None, min_length=1)


class Removal(Body):
    """Whether the proofs that rest on the source go with it."""

    with_proofs: bool = False


def routes(site: Site, *, trust_domain: str) -> list[Route]:
    """The routes of this room about trust sources. `trust_domain` is that of the clients' SPIFFE IDs."""

    def _users(tx: Tx, act: Act, ref: str) -> tuple[Users, list[Held]]:
        source = sources.get(tx, act, ref)
        waiting = bindings.waiting(tx, act, source, trust_domain=trust_domain)
        return following.users_of(tx, act, source), waiting

    async def users(request: Request) -> JSONResponse:
        act = await site.act(request)
        seen, waiting = await site.read(lambda tx: _users(tx, act, request.path_params["source"]))
        return JSONResponse(
            {
                "proofs": seen.proofs,
                "clients": seen.clients,
                "stranded": [{"client_id": each.id, "name": each.name} for each in seen.stranded],
                "more_stranded": seen.more,
                "waiting": [_held(each) for each in waiting[: bindings.MOST_AT_ONCE]],
                "waiting_proofs": len(waiting),
            }
        )

    async def bind(request: Request) -> JSONResponse:
        act = await site.act(request)
        wanted, ref = (await read_body(request, Wanted)).proofs, request.path_params["source"]
        bound = await site.change(act, lambda tx, act: bindings.bind(tx, act, ref, wanted, trust_domain=trust_domain))
        more = wanted is None and len(bound) == bindings.MOST_AT_ONCE
        return JSONResponse({"bound": [_held(each) for each in bound], "more": more})

    async def remove(request: Request) -> JSONResponse:
        act = await site.act(request)
        with_proofs, ref = (await read_body(request, Removal)).with_proofs, request.path_params["source"]
        removed = await site.change(act, lambda tx, act: following.remove_source(tx, act, ref, with_proofs=with_proofs))
        return JSONResponse(
            {"slug": removed.source.slug, "removed": not removed.left, "proofs": removed.proofs, "left": removed.left}
        )

    return [
        resource(PATH + "/users", get=users),
        resource(PATH + "/bind", post=bind),
        resource(PATH + "/remove", post=remove),
    ]


def _held(each: Held) -> dict[str, Any]:
    selectors = [{"key": selector.key, "value": selector.value} for selector in each.proof.selectors]
    return {"client_id": each.client.id, "name": each.client.name, "proof_id": each.proof.id, "selectors": selectors}
