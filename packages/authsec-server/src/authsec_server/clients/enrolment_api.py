"""Enrolment over HTTP: admin API operations for codes, and one endpoint for machines, which have no admin key.

The endpoint's order is: rate limit, checks, enrolment, audit log, answer. A request that fails its checks does not use
up the code. So a machine with a wrong clock needs no new code. A caller without the code cannot use it up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Literal

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named, Refusal, Tally
from authsec_server.clients import enrolment_service, service
from authsec_server.clients.api import ONE
from authsec_server.clients.enrolment import (
    DEFAULT_HOURS,
    Enrolled,
    Enrolment,
    EnrolmentRefusal,
    EnrolmentRefused,
    Redemption,
)
from authsec_server.clients.enrolment_service import EnrollingMachine, enrol, usable
from authsec_server.clients.service import named_client
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, Invalid
from authsec_server.principal import Act
from authsec_server.web.bodies import Body, Places, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import AnyOperation, Call, NoBody, declared, operation, resource
from authsec_server.web.paging import PAGING, Page, paged, whole
from authsec_server.web.request_context import context_of, limit_key
from authsec_server.web.throttle import WHOLE, Share, Throttle

PATH = ONE + "/enrolments"
ENROL = "/authsec/v1/enrolments"
AT_ONCE, OF_ONE_NETWORK = 64, 8  # concurrent requests without credentials: each may be slow
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


FAILURES_A_MINUTE = 20  # from one network


class Enrolling:
    """Enrols machines. `redeem` blocks its thread, and records in the audit log before it returns."""

    def __init__(
        self,
        database: Database,
        *,
        issuer: str,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        token_bytes: Callable[[int], bytes],
        share: Share = WHOLE,
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._now = now
        self._token_bytes = token_bytes
        self._failures = Throttle(
            share.of_failures(FAILURES_A_MINUTE), "Too many enrolments have failed.", monotonic=monotonic
        )

    def redeem(self, asked: Redemption, *, request_id: str, address: str) -> Enrolled:
        """Enrol the machine. Raises `EnrolmentRefused`, `Invalid`, `Conflict`, `TooOften` or `Unavailable`.

        Each attempt counts against the rate limit before the checks. So many parallel attempts cannot exceed
        the limit. A successful attempt does not count.
        """
        arrival = EnrollingMachine(
            now=self._now(), request_id=request_id, address=address, token_bytes=self._token_bytes
        )
        network = limit_key(address)
        self._failures.charge(network, count_refusal=lambda: self._count(arrival, EnrolmentRefusal.RATE_LIMITED, None))
        client: Named | None = None
        try:
            # Look up the code before taking the authority lock: requests without a valid code must not delay agents.
            client = named_client(self._database.read(lambda tx: usable(tx, arrival.now, asked)).client)
            enrolled = self._database.change(
                lambda tx: enrol(tx, replace(arrival, now=self._now()), asked, issuer=self._issuer)
            )
        except (EnrolmentRefused, Invalid, Conflict) as failure:
            named_by = failure.client if isinstance(failure, EnrolmentRefused) else None
            self._count(arrival, _reason(failure), client or named_by)
            raise
        self._failures.refund(network)
        return enrolled

    def _count(self, arrival: EnrollingMachine, why: EnrolmentRefusal, client: Named | None) -> None:
        refusal = Refusal(
            kind=EventKind.ENROLMENT_REFUSED, address=limit_key(arrival.address), client=client, reason=why
        )
        tallies = {refusal: Tally(count=1, request_id=arrival.request_id)}
        self._database.append(lambda tx: audit.count_refusals(tx, tallies, arrival.now))


def _reason(failure: EnrolmentRefused | Invalid | Conflict) -> EnrolmentRefusal:
    if isinstance(failure, EnrolmentRefused):
        return failure.why
    return EnrolmentRefusal.KEY_INVALID if isinstance(failure, Invalid) else EnrolmentRefusal.NOT_ADDED
