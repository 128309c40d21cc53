"""Enrolment over HTTP: admin API operations for codes, and one endpoint for machines, which have no admin key."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server import naming
from authsec_server.clients import enrolment_service, service
from authsec_server.clients.api import ONE
from authsec_server.clients.enrolment import DEFAULT_HOURS, Enrolment, Redemption
from authsec_server.clients.enrolment_endpoint import Enrolling
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.web.bodies import Body, Places, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import AnyOperation, Call, NoBody, declared, operation, resource
from authsec_server.web.paging import PAGING, Page, paged, whole
from authsec_server.web.request_context import context_of, limit_key

PATH = ONE + "/enrolments"
ENROL = "/authsec/v1/enrolments"
AT_ONCE, OF_ONE_NETWORK = 64, 8  # requests of strangers that are read at once: each may dawdle
_PRIVATE = {"Cache-Control": "no-store"}


class NewCode(Body):
    """Request to make an enrolment code.

    `hours` is the lifetime of the key that a machine registers with the code.
    """

    hours: int = DEFAULT_HOURS


class EnrolmentShown(TypedDict):
    """An unused enrolment code as the admin API returns it, without the text of the code."""

    id: str
    client_id: str
    hours: int
    made_by: str
    created_at: str
    expires_at: str


class EnrolmentMade(EnrolmentShown):
    """A new enrolment code with the client's name and slug. Only this answer contains the text of the code."""

    code: str
    name: str
    slug: str


class TakenBack(TypedDict):
    """Answer for a revoked enrolment code, which no machine can use."""

    id: str
    taken_back: Literal[True]


class Sent(Body):
    """Request of a machine: the code, the machine's public key (PEM), and a JWT signed with the private key."""

    client_id: str
    code: str = Field(repr=False)
    public_key: str = Field(repr=False)
    possession: str = Field(repr=False)
    machine: str = ""


@operation("GET", PATH, "listEnrolments", query=PAGING)
async def page(call: Call[NoBody]) -> Page[EnrolmentShown]:
    """List the unused enrolment codes of a client that have not expired, oldest first."""

    def look(tx: Tx, act: Act) -> list[Enrolment]:
        return enrolment_service.open_of(tx, act, service.get(tx, act, call.of("client")).id)

    return await paged(call, naming.is_uuid, whole(look, by=lambda each: each.id), as_json)


@operation("POST", PATH, "createEnrolment", status=201, secrets=("code",))
async def create(call: Call[NewCode]) -> EnrolmentMade:
    """Create a one-time code, with which a machine registers its key for a client.

    Only this answer contains the code.
    """
    made = await call.change(lambda tx, act: enrolment_service.make(tx, act, call.of("client"), hours=call.body.hours))
    return {**as_json(made.enrolment), "code": made.code, "name": made.client.name, "slug": made.client.slug}


@operation("POST", PATH + "/{enrolment}/take-back", "takeBackEnrolment")
async def take_back(call: Call[NoBody]) -> TakenBack:
    """Revoke an enrolment code."""
    await call.change(lambda tx, act: enrolment_service.take_back(tx, act, call.of("client"), call.of("enrolment")))
    return {"id": call.of("enrolment"), "taken_back": True}


def operations() -> list[AnyOperation]:
    """Return the operations on enrolment codes."""
    return declared(page, create, take_back)


def routes(enrolling: Enrolling) -> list[Route]:
    """Return the route where machines enrol."""
    places = Places(at_once=AT_ONCE, of_one=OF_ONE_NETWORK)

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

    return [resource(ENROL, post=enrol)]


def as_json(enrolment: Enrolment) -> EnrolmentShown:
    """Convert the enrolment code to JSON."""
    return {
        "id": enrolment.id,
        "client_id": enrolment.client_id,
        "hours": enrolment.hours,
        "made_by": enrolment.made_by.name,
        "created_at": rfc3339(enrolment.created_at),
        "expires_at": rfc3339(enrolment.expires_at),
    }
