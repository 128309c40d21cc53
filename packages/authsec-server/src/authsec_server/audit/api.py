"""The journal over HTTP, newest first."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.audit import service
from authsec_server.audit.model import Named, Recorded
from authsec_server.failures import Invalid
from authsec_server.principal import Principal
from authsec_server.web.bodies import query_value
from authsec_server.web.instants import rfc3339
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/events"
_EVENT_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


def routes(site: Site) -> list[Route]:
    """The routes of this room. A page's cursor is the number of its last event; `request_id` finds one request."""

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, lambda cursor: _EVENT_NUMBER.fullmatch(cursor) is not None)
        request_id = _request_id(request)
        before = int(asked.after) if asked.after else None
        found = await site.read(
            lambda tx: service.newest(tx, act.principal, before=before, limit=asked.limit + 1, request_id=request_id)
        )
        shown = found[: asked.limit]
        return page_answer(map(as_json, shown), str(shown[-1].id) if len(found) > len(shown) else None)

    return [Route(PATH, page, methods=["GET"])]


def as_json(recorded: Recorded) -> dict[str, Any]:
    """The event as the admin API shows it, ids and names as they were. `count` is above 1 for counted refusals."""
    event = recorded.event
    return {
        "id": recorded.id,
        "at": rfc3339(event.at),
        "kind": event.kind,
        "count": recorded.count,
        "counted": recorded.counted,
        "request_id": event.request_id,
        "principal": _principal(event.principal),
        "client": _named(event.client),
        "delegations": [asdict(each) for each in event.delegations],
        "roles": [asdict(each) for each in event.roles],
        "subject": _named(event.subject),
        "decision": event.decision,
        "reason": event.reason,
        "address": event.address,
        "authority_version": event.authority_version,
        "jti": event.jti,
        "kid": event.kid,
        "token_sha256": event.token_sha256,
        "expires_at": rfc3339(event.expires_at),
        "detail": dict(event.detail),
    }


def _request_id(request: Request) -> str | None:
    value = query_value(request, "request_id")
    if value is not None and not _REQUEST_ID.fullmatch(value):
        raise Invalid("request_id", "This is not a request id.", "Copy it from an answer: req_…")
    return value


def _named(named: Named | None) -> dict[str, str] | None:
    return None if named is None else {"id": named.id, "name": named.name}


def _principal(principal: Principal | None) -> dict[str, str] | None:
    if principal is None:
        return None
    return {
        "kind": principal.kind,
        "id": principal.id,
        "name": principal.name,
        "role": principal.role.name.lower(),
    }
