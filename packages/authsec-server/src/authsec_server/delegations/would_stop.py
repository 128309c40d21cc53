"""What an ending would stop, over HTTP: the same POST with `?dry_run=1` says it, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.clients.proofs_api import Rotation
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.delegations.consequences import Consequences
from authsec_server.delegations.model import Terms
from authsec_server.delegations.tokens_out import AtApi
from authsec_server.principal import Act
from authsec_server.revocations.followers.model import Following
from authsec_server.sources import api as sources_api
from authsec_server.sources.parsing import Changes as SourceChanges
from authsec_server.web.bodies import read_body
from authsec_server.web.dry_run import DryRun, no_dry_run
from authsec_server.web.instants import rfc3339
from authsec_server.web.routing import Handler
from authsec_server.web.site import Site

API = "/authsec/api/v1/"
Question = Callable[[Tx, Act, str], Consequences]


def routes(site: Site, terms: Terms, *further: Route) -> list[Route]:
    """What can be asked, `further` questions of the rooms above, and that nothing else can. Before all other routes."""

    def of_client(tx: Tx, act: Act, which: str) -> Consequences:
        return consequences.of_client(tx, act, which, terms)

    def of_client_tokens(tx: Tx, act: Act, which: str) -> Consequences:
        return consequences.of_client_tokens(tx, act, which, terms)

    def of_delegation(tx: Tx, act: Act, which: str) -> Consequences:
        return consequences.of_delegation(tx, act, which, terms)

    async def of_proof(request: Request) -> JSONResponse:
        its = request.path_params
        return await said(site, request, lambda tx, act: consequences.of_proof(tx, act, its["client"], its["proof"]))

    async def of_secrets(request: Request) -> JSONResponse:
        at_once = (await read_body(request, Rotation)).overlap <= 0
        asked = request.path_params["client"]
        return await said(site, request, lambda tx, act: consequences.of_secrets(tx, act, asked, at_once=at_once))

    async def of_source_edit(request: Request) -> JSONResponse:
        asked = dict(await read_body(request, sources_api.Changes))
        del asked["anyway"]
        revision, which = asked.pop("revision"), request.path_params["which"]
        changes = SourceChanges(**asked)
        return await said(
            site,
            request,
            lambda tx, act: consequences.of_source_edit(tx, act, which, revision=revision, changes=changes),
        )

    return [
        DryRun(API + "clients/{which}/disable", _about(site, of_client)),
        DryRun(API + "clients/{which}/revoke-tokens", _about(site, of_client_tokens)),
        DryRun(API + "clients/{client}/secret", of_secrets),
        DryRun(API + "clients/{client}/proofs/{proof}/remove", of_proof),
        DryRun(API + "delegations/{which}/disable", _about(site, of_delegation)),
        DryRun(API + "delegations/{which}/revoke", _about(site, of_delegation)),
        DryRun(API + "sources/{which}", of_source_edit),
        DryRun(API + "sources/{which}/disable", _about(site, consequences.of_source)),
        DryRun(API + "sources/{which}/remove", _about(site, consequences.of_source)),
        *further,
        no_dry_run(API),
    ]


async def said(site: Site, request: Request, question: Callable[[Tx, Act], Consequences]) -> JSONResponse:
    """The answer to somebody who administers."""
    act = await site.act(request)
    return JSONResponse(as_json(await site.read(lambda tx: question(tx, act)), act.now))


def _about(site: Site, question: Question) -> Handler:
    async def answer(request: Request) -> JSONResponse:
        return await said(site, request, lambda tx, act: question(tx, act, request.path_params["which"]))

    return answer


def as_json(what: Consequences, now: datetime) -> dict[str, Any]:
    """What would stop, as the admin API shows it. With `more`, the numbers are the least that it may be."""
    return {
        "would_stop": {
            "agents": [
                {"client_id": each.id, "name": each.name, "goes_on": each.id in what.go_on} for each in what.agents
            ],
            "delegations": [{"id": each.id, "name": each.name} for each in what.delegations],
            "live_tokens": what.live_tokens,
            "until": rfc3339(what.out_until),
            "apis": [_api(each) for each in what.apis],
            "more": what.more,
            "as_of": rfc3339(now),
        }
    }


def _api(each: AtApi) -> dict[str, Any]:
    return {
        "audience": each.audience,
        "name": each.name,
        "api": each.slug or None,
        "following": each.following is not Following.NO,
        "proved": each.following is Following.PROVED,
        "seen_at": rfc3339(each.seen_at),
        "until": rfc3339(each.until),
    }
