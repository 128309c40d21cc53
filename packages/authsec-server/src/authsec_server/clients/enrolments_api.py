"""Enrolment over HTTP: codes for operators; and the one address where machines, which have no admin key, use them."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.clients import enrolments, service
from authsec_server.clients.api import PATH
from authsec_server.clients.enrolling import Enrolling
from authsec_server.clients.enrolment import DEFAULT_HOURS, Enrolment, Redemption
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.context import context_of, limit_key
from authsec_server.web.instants import rfc3339
from authsec_server.web.places import Places
from authsec_server.web.routing import resource
from authsec_server.web.site import Site

ENROL = "/authsec/v1/enrolments"
AT_ONCE, OF_ONE_NETWORK = 64, 8  # requests of strangers that are read at once: each may dawdle
_PRIVATE = {"Cache-Control": "no-store"}


class NewCode(Body):
    """For how many hours the key that is made with the code shall be good."""

    hours: int = DEFAULT_HOURS


class Sent(Body):
    """What a machine sends: the code, its public key (PEM), and a JWT signed with the private half."""

    client_id: str
    code: str = Field(repr=False)
    public_key: str = Field(repr=False)
    possession: str = Field(repr=False)
    machine: str = ""


def routes(site: Site, enrolling: Enrolling) -> list[Route]:
    """The routes of enrolment."""
    places = Places(at_once=AT_ONCE, of_one=OF_ONE_NETWORK)

    async def make(request: Request) -> JSONResponse:
        act = await site.act(request)
        hours = (await read_body(request, NewCode)).hours
        asked = request.path_params["client"]
        made = await site.change(act, lambda tx, act: enrolments.make(tx, act, asked, hours=hours))
        body = {**as_json(made.enrolment), "code": made.code, "name": made.client.name, "slug": made.client.slug}
        return JSONResponse(body, 201, _PRIVATE)

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        found = await site.read(lambda tx: _open(tx, act, request.path_params["client"]))
        return JSONResponse({"items": [as_json(each) for each in found]})

    async def take_back(request: Request) -> JSONResponse:
        act = await site.act(request)
        client, enrolment = (request.path_params[name] for name in ("client", "enrolment"))
        await site.change(act, lambda tx, act: enrolments.take_back(tx, act, client, enrolment))
        return JSONResponse({"id": enrolment, "taken_back": True})

    async def enrol(request: Request) -> JSONResponse:
        context = context_of(request.scope)
        with places.one(limit_key(context.address)):
            sent = await read_body(request, Sent)
        asked = Redemption(**sent.model_dump())
        enrolled = await run_in_threadpool(
            lambda: enrolling.redeem(asked, request_id=context.request_id, address=context.address)
        )
        body = {
            "client_id": enrolled.client.id,
            "name": enrolled.client.name,
            "proof_id": enrolled.proof.id,
            "thumbprint": enrolled.proof.thumbprint,
            "expires_at": rfc3339(enrolled.proof.expires_at),
        }
        return JSONResponse(body, 201, _PRIVATE)

    return [
        resource(PATH + "/{client}/enrolments", get=page, post=make),
        resource(PATH + "/{client}/enrolments/{enrolment}/take-back", post=take_back),
        resource(ENROL, post=enrol),
    ]


def as_json(enrolment: Enrolment) -> dict[str, Any]:
    """An open code as the admin API shows it: the code itself is nowhere."""
    return {
        "id": enrolment.id,
        "client_id": enrolment.client_id,
        "hours": enrolment.hours,
        "made_by": enrolment.made_by.name,
        "created_at": rfc3339(enrolment.created_at),
        "expires_at": rfc3339(enrolment.expires_at),
    }


def _open(tx: Tx, act: Act, asked: str) -> list[Enrolment]:
    return enrolments.open_of(tx, act, service.get(tx, act, asked).id)
