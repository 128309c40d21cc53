"""Revoking all that one administrator, or one admin key, has delegated, over HTTP; with `?dry_run=1` only saying it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.accounts import administrators
from authsec_server.accounts import service as admin_keys
from authsec_server.audit.model import Named
from authsec_server.db import Tx
from authsec_server.delegations import consequences, would_stop
from authsec_server.delegations.api import as_json
from authsec_server.delegations.grants import Hand, given_by, revoke_given_by
from authsec_server.delegations.model import Terms
from authsec_server.delegations.standing import standings
from authsec_server.principal import Act, PrincipalKind
from authsec_server.web.dry_run import DryRun
from authsec_server.web.routing import Handler, resource
from authsec_server.web.site import Site

Found = Callable[[Tx, Act, str], tuple[Hand, Named]]


def administrator(tx: Tx, act: Act, reference: str) -> tuple[Hand, Named]:
    """The administrator with this id or e-mail address. Raises `NotFound`."""
    found = administrators.get(tx, act, reference)
    return (PrincipalKind.ADMINISTRATOR, found.id), Named(id=found.id, name=found.name)


def admin_key(tx: Tx, act: Act, key_id: str) -> tuple[Hand, Named]:
    """The admin key with this id, revoked or not. Raises `NotFound`."""
    found = admin_keys.get(tx, act, key_id)
    return (PrincipalKind.ADMIN_KEY, found.id), Named(id=found.id, name=found.name)


_HANDS: tuple[tuple[str, Found], ...] = (
    ("/authsec/api/v1/administrators/{whose}/revoke-grants", administrator),
    ("/authsec/api/v1/admin-keys/{whose}/revoke-grants", admin_key),
)


def routes(site: Site, terms: Terms) -> list[Route]:
    """For people and for keys."""
    return [resource(path, post=_revoking(site, terms, find)) for path, find in _HANDS]


def dry_runs(site: Site, terms: Terms) -> list[Route]:
    """What they would stop. Before all other routes."""
    return [DryRun(path, _asking(site, terms, find)) for path, find in _HANDS]


def _revoking(site: Site, terms: Terms, find: Found) -> Handler:
    async def revoke(request: Request) -> JSONResponse:
        act = await site.act(request)
        whose = request.path_params["whose"]
        revoked = await site.change(act, lambda tx, act: revoke_given_by(tx, act, *find(tx, act, whose), terms))
        return JSONResponse({"revoked": [as_json(standing, act.now) for standing in revoked]})

    return revoke


def _asking(site: Site, terms: Terms, find: Found) -> Handler:
    async def ask(request: Request) -> JSONResponse:
        act = await site.act(request)

        def look(tx: Tx) -> dict[str, Any]:
            hand, _ = find(tx, act, request.path_params["whose"])
            held = given_by(tx, act, hand)
            stops = would_stop.as_json(consequences.of_many(tx, act, held, terms), act.now)
            return stops | {"would_revoke": [as_json(each, act.now) for each in standings(tx, held, terms, act.now)]}

        return JSONResponse(await site.read(look))

    return ask
