"""Operations of the admin API as routes: who asks, whether they may, what they sent; then the handler, its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authsec_server.db import rehearsing
from authsec_server.failures import Invalid, NotPermitted
from authsec_server.principal import Act
from authsec_server.web import preconditions, rehearsal
from authsec_server.web.bodies import query_value
from authsec_server.web.etags import etag_of
from authsec_server.web.large_bodies import LargeBodies
from authsec_server.web.operations import A, AnyOperation, B, Call, NoBody, Operation
from authsec_server.web.site import Site

log = structlog.get_logger(__name__)


def routes_of(site: Site, operations: Iterable[AnyOperation]) -> list[Route]:
    """One route for each path, so that a 405 names every method that is possible there (RFC 9110 section 15.5.6)."""
    by_path: dict[str, dict[str, AnyOperation]] = {}
    for each in operations:
        its = by_path.setdefault(each.path, {})
        if each.method in its:
            raise ValueError(f"{each.method} {each.path} is declared twice")
        its[each.method] = each
    bodies = LargeBodies()
    return [_route(site, bodies, path, its) for path, its in by_path.items()]


def _route(site: Site, bodies: LargeBodies, path: str, its: Mapping[str, AnyOperation]) -> Route:
    its = {**its, "HEAD": its["GET"]} if "GET" in its else its

    async def answer(request: Request) -> Response:
        return await _answered(site, bodies, its[request.method], request)

    return Route(path, answer, methods=list(its))


async def _answered(site: Site, bodies: LargeBodies, operation: Operation[B, A], request: Request) -> Response:
    act = await site.act(request)
    try:
        return await _permitted(site, bodies, operation, request, act)
    except NotPermitted as why:
        await site.refused(act, why, _asked(operation, request))
        raise


async def _permitted(
    site: Site, bodies: LargeBodies, operation: Operation[B, A], request: Request, act: Act
) -> Response:
    act.principal.require(operation.least)
    rehearsed = rehearsal.asked_for(request, changes=operation.changes)
    _require_known(request, operation)
    call = Call(
        request=request,
        site=site,
        act=act,
        body=await _body(request, bodies, operation, act),
        expected=preconditions.expected(request, wanted=operation.wants_revision, known=operation.may_want_revision),
        rehearsal=rehearsed,
    )
    if rehearsed is None:
        return _response(operation, await operation.handler(call))
    # It leaves no event, and others wait while it runs: who did it is in the log, whatever becomes of it.
    log.info(
        "dry run",
        request_id=act.request_id,
        operation=operation.operation_id,
        by=_who(act),
    )
    with rehearsing():
        result = await operation.handler(call)
    return JSONResponse(rehearsed.answer(result, secrets=operation.secrets))


async def _body(request: Request, bodies: LargeBodies, operation: Operation[B, A], act: Act) -> B:
    if operation.method == "GET":
        return cast("B", NoBody())
    shape = operation.body or cast("type[B]", NoBody)
    return await bodies.read(request, shape, at_most=operation.max_body, whose=_who(act))


def _require_known(request: Request, operation: AnyOperation) -> None:
    """Refuse what is not asked for: of `?dryrun=1` the change itself would be the wrong answer."""
    known = [each.name for each in operation.query] + ([rehearsal.NAME] if operation.changes else [])
    for name in request.query_params:
        query_value(request, name)
        # A reading changes nothing anyway, whichever way it is asked.
        if name not in known and not (operation.method == "GET" and name == rehearsal.NAME):
            raise Invalid(name, "There is no such query parameter here.", f"Those that there are: {_listed(known)}.")


def _asked(operation: AnyOperation, request: Request) -> str:
    """The operation as the audit trail names it: by its template, since anything can stand in a path."""
    rehearsed = operation.changes and request.query_params.get(rehearsal.NAME) == "1"
    return f"{operation.method} {operation.path}{f'?{rehearsal.NAME}=1' if rehearsed else ''}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _response(operation: Operation[B, A], result: A) -> Response:
    headers = {}
    shown: Mapping[str, Any] = cast("Mapping[str, Any]", result)
    if operation.revised and operation.method != "DELETE":
        headers["ETag"] = etag_of(shown)
    if operation.location:
        headers["Location"] = operation.location.format_map(shown)
    if operation.secrets or operation.private:
        headers["Cache-Control"] = "no-store"
    return JSONResponse(result, operation.status, headers)


def _who(act: Act) -> str:
    return f"{act.principal.kind} {act.principal.id}".rstrip()
