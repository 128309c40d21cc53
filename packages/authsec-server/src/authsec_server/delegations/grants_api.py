"""Revoking all that one administrator, or one admin key, has delegated, over HTTP; with `?dry_run=1` only saying it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.accounts import administrators
from authsec_server.accounts import service as admin_keys
from authsec_server.db import Tx
from authsec_server.delegations import consequences, would_stop
from authsec_server.delegations.api import as_json
from authsec_server.delegations.grants import Hand, given_by, of_admin_key, of_administrator, revoke_given_by
from authsec_server.delegations.model import Standing, Terms
from authsec_server.delegations.standing import standings
from authsec_server.principal import Act
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.dry_run import DryRun
from authsec_server.web.routing import Handler, resource
from authsec_server.web.site import Site

Find = Callable[[Tx, Act, str], Hand]


class Asked(Body):
    """What is meant beside that in which nobody else had a hand since."""

    also_changed_since: bool = False


def _administrator(tx: Tx, act: Act, reference: str) -> Hand:
    return of_administrator(administrators.get(tx, act, reference))


def _admin_key(tx: Tx, act: Act, key_id: str) -> Hand:
    return of_admin_key(admin_keys.get(tx, act, key_id))


_HANDS: tuple[tuple[str, Find], ...] = (
    ("/authsec/api/v1/administrators/{whose}/revoke-grants", _administrator),
    ("/authsec/api/v1/admin-keys/{whose}/revoke-grants", _admin_key),
)


def routes(site: Site, terms: Terms) -> list[Route]:
    """For people and for keys."""
    return [resource(path, post=_revoking(site, terms, find)) for path, find in _HANDS]


def dry_runs(site: Site, terms: Terms) -> list[Route]:
    """What they would stop. Before all other routes."""
    return [DryRun(path, _asking(site, terms, find)) for path, find in _HANDS]


def _revoking(site: Site, terms: Terms, find: Find) -> Handler:
    async def revoke(request: Request) -> JSONResponse:
        act = await site.act(request)
        whose, asked = request.path_params["whose"], await read_body(request, Asked)

        def work(tx: Tx, act: Act) -> list[Standing]:
            also = asked.also_changed_since
            return revoke_given_by(tx, act, find(tx, act, whose), terms, also_changed_since=also)

        revoked = await site.change(act, work)
        return JSONResponse({"revoked": [as_json(standing, act.now) for standing in revoked]})

    return revoke


def _asking(site: Site, terms: Terms, find: Find) -> Handler:
    async def ask(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = await read_body(request, Asked)

        def look(tx: Tx) -> dict[str, Any]:
            given = given_by(tx, act, find(tx, act, request.path_params["whose"]))
            given = given.with_changed() if asked.also_changed_since else given
            stops = would_stop.as_json(consequences.of_many(tx, act, given.held, terms), act.now)
            listed = {"would_revoke": given.held, "changed_since": given.changed_since}
            return stops | {
                name: [as_json(each, act.now) for each in standings(tx, held, terms, act.now)]
                for name, held in listed.items()
            }

        return JSONResponse(await site.read(look))

    return ask
