"""The proofs of a client over HTTP: one more, one less, another secret."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.clients import holding
from authsec_server.clients.api import PATH, NewSelector
from authsec_server.clients.model import Client, NewProof
from authsec_server.clients.rotation import OVERLAP, rotate_secret
from authsec_server.clients.seen import Seen, as_json, made, see
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import parse_instant
from authsec_server.web.routing import resource
from authsec_server.web.site import Site


class FurtherProof(Body):
    """A proof to be added, as at onboarding; `expires_at` is RFC 3339."""

    platform: str
    selectors: list[NewSelector] = Field(default_factory=list)
    public_key: str | None = Field(default=None, repr=False)  # somebody will paste a private one
    source: str | None = None
    expires_at: str | None = None

    def wanted(self) -> NewProof:
        """What is asked for, in the room's own terms."""
        return NewProof(
            platform=self.platform,
            selectors=tuple((each.key, each.value) for each in self.selectors),
            public_key=self.public_key,
            source=self.source,
            expires_at=None if self.expires_at is None else parse_instant("expires_at", self.expires_at),
        )


class Rotation(Body):
    """For how many seconds the secrets from before count yet."""

    overlap: int = Field(int(OVERLAP.total_seconds()), ge=-(10**9), le=10**9)  # its bounds are the verb's to say


def routes(site: Site, *, trust_domain: str) -> list[Route]:
    """The routes of this room about proofs. `trust_domain` is that of the clients' SPIFFE IDs."""

    async def changed(act: Act, verb: Callable[[Tx, Act], Client]) -> Seen:
        client = await site.change(act, verb)
        return await site.read(lambda tx: see(tx, client))

    async def add(request: Request) -> JSONResponse:
        act, client = await site.act(request), request.path_params["client"]
        wanted = (await read_body(request, FurtherProof)).wanted()
        seen = await changed(act, lambda tx, act: holding.add_proof(tx, act, client, wanted, trust_domain=trust_domain))
        return made(seen, trust_domain, act.now)

    async def remove(request: Request) -> JSONResponse:
        act, asked = await site.act(request), request.path_params
        seen = await changed(act, lambda tx, act: holding.remove_proof(tx, act, asked["client"], asked["proof"]))
        return JSONResponse(as_json(seen, trust_domain, act.now))

    async def rotate(request: Request) -> JSONResponse:
        act, client = await site.act(request), request.path_params["client"]
        overlap = timedelta(seconds=(await read_body(request, Rotation)).overlap)
        seen = await changed(act, lambda tx, act: rotate_secret(tx, act, client, overlap))
        return made(seen, trust_domain, act.now)

    return [
        resource(PATH + "/{client}/proofs", post=add),
        resource(PATH + "/{client}/proofs/{proof}/remove", post=remove),
        resource(PATH + "/{client}/secret", post=rotate),
    ]
