"""One event of the journal over HTTP, whole: what happened, what else its request did, and what would have helped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.audit import service as audit
from authsec_server.audit.api import PATH
from authsec_server.audit.export import as_json
from authsec_server.audit.model import Recorded
from authsec_server.clients import service as clients
from authsec_server.db import Tx
from authsec_server.failures import NotFound
from authsec_server.principal import Act
from authsec_server.tokens.endings import revoked
from authsec_server.tokens.remedies import remedy_of
from authsec_server.web.instants import rfc3339
from authsec_server.web.site import Site

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def routes(site: Site) -> list[Route]:
    """The route; those of other words below the same path come before it."""

    async def story(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = request.path_params["event"]
        return JSONResponse({"items": await site.read(lambda tx: _stories(tx, act, asked))})

    return [Route(PATH + "/{event}", story, methods=["GET"])]


def _stories(tx: Tx, act: Act, asked: str) -> list[dict[str, Any]]:
    """The event with this number, then the others of its request; or all of the request with this id."""
    found = _found(tx, act, asked)
    ended = revoked(tx, found)
    return [_story(tx, act, each, ended) for each in found]


def _found(tx: Tx, act: Act, asked: str) -> Sequence[Recorded]:
    if not _NUMBER.fullmatch(asked):
        found = audit.of_request(tx, act.principal, asked)
        if not found:
            raise NotFound(
                "Nothing was recorded under this request id.",
                "Refusals of callers that proved nothing are counted by the minute, under the first one's id: look by "
                "time, or by agent.",
            )
        return found
    first = audit.event(tx, act.principal, int(asked))
    rest = audit.of_request(tx, act.principal, first.event.request_id)
    return [first, *(each for each in rest if each.id != first.id)]


def _story(tx: Tx, act: Act, recorded: Recorded, ended: Mapping[int, datetime]) -> dict[str, Any]:
    event = recorded.event
    client = clients.load(tx, event.client.id) if event.client else None
    can_prove = client is None or client.can_prove_itself(act.now) or client.unattested(act.now)
    remedy = remedy_of(event, can_prove=can_prove)
    return {
        "event": as_json(recorded),
        "remedy": remedy and {"text": remedy.text, "scope": remedy.scope},
        "revoked_at": rfc3339(ended.get(recorded.id)),
    }
