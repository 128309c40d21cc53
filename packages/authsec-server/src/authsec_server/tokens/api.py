"""`GET /authsec/uflow/sdk/delegation-token`: parse the HTTP request and format the answer. `issue` decides about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authsec_server.failures import Unavailable
from authsec_server.metrics.catalogue import TOKEN_REQUESTS
from authsec_server.tokens.direct import DOOR, GRANTED, take_begun, was_tried
from authsec_server.tokens.issue import DelegationTokens, Issued
from authsec_server.tokens.log_notes import note_outcome
from authsec_server.tokens.refusal import Denied, Reason
from authsec_server.tokens.refusal_texts import next_steps, sentence
from authsec_server.tokens.request import PATH, TokenRequest, parse
from authsec_server.web.errors import error_response, retry_after
from authsec_server.web.request_context import RequestContext, context_of
from authsec_server.web.request_log import note
from authsec_server.web.traces import steps_of

_STATUSES: Mapping[Reason, int] = {
    Reason.CLIENT_ID_MISSING: 400,
    Reason.CLIENT_ID_INVALID: 400,
    Reason.INVALID_SCOPE: 400,
    Reason.INVALID_TARGET: 400,
    Reason.RATE_LIMITED: 429,
    Reason.CLIENT_NOT_FOUND: 404,
    Reason.ATTESTATION_REQUIRED: 401,
    Reason.ATTESTATION_INVALID: 401,
    Reason.SELECTORS_MISMATCH: 403,
    Reason.CLIENT_DISABLED: 403,
    Reason.NO_DELEGATION: 404,
    Reason.DELEGATION_ENDED: 410,
    Reason.ACTION_NOT_ALLOWED: 403,
    Reason.PROOF_NOT_ACCEPTED: 403,
}


def routes(tokens: DelegationTokens) -> list[Route]:
    """Return the route of the endpoint. The endpoint checks the HTTP method itself.

    Otherwise the framework would answer a HEAD request like a GET request, and would issue a token that nobody reads.
    """

    async def delegation_token(request: Request) -> Response:
        if request.method != "GET":
            raise HTTPException(405, headers={"Allow": "GET"})
        context = context_of(request.scope)
        begun = take_begun(request.scope)
        asked = begun.request if begun else _parsed(request, context)
        outcome: Issued | Denied
        try:
            if isinstance(asked, TokenRequest) and (steps := steps_of(request.scope)):
                asked = replace(asked, steps=steps)
            if begun:
                outcome = await begun.outcome()
            elif isinstance(asked, Denied):
                outcome = await run_in_threadpool(tokens.refuse, asked, context.address, context.request_id)
            elif was_tried(request.scope):
                outcome = await run_in_threadpool(tokens.issue, asked)
            else:
                outcome = await tokens.issue_async(asked)
        except Unavailable:
            if begun and begun.is_proved:
                note(request.scope, client_id=begun.request.client_id)
            TOKEN_REQUESTS.of(DOOR, Reason.UNAVAILABLE).add()
            raise
        TOKEN_REQUESTS.of(DOOR, outcome.reason if isinstance(outcome, Denied) else GRANTED).add()
        note_outcome(request.scope, asked, outcome)
        if isinstance(outcome, Issued):
            return _token(outcome)
        return _refusal(request, outcome, None if isinstance(asked, Denied) else asked, tokens.issuer)

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
    return [Route(PATH, delegation_token, methods=methods)]


def _parsed(request: Request, context: RequestContext) -> TokenRequest | Denied:
    return parse(
        request.query_params.multi_items(),
        request.headers.getlist("x-client-id"),
        request.headers.getlist("authorization"),
        address=context.address,
        request_id=context.request_id,
    )


def _token(issued: Issued) -> Response:
    return Response(issued.answer, headers={"Cache-Control": "no-store"}, media_type="application/json")


def _refusal(request: Request, denied: Denied, asked: TokenRequest | None, issuer: str) -> JSONResponse:
    """Return the answer to a refused request. `asked` is None if the request is malformed."""
    return error_response(
        request,
        _STATUSES[denied.reason],
        reason=denied.reason,
        error=sentence(denied, asked),
        details=denied.details,
        retryable=denied.reason is Reason.RATE_LIMITED,
        headers=_headers(denied),
        extra={} if asked is None else next_steps(denied, issuer, asked),
    )


def _headers(denied: Denied) -> Mapping[str, str]:
    if denied.reason is Reason.RATE_LIMITED:
        return retry_after(denied.retry_after)
    if denied.reason is Reason.ATTESTATION_REQUIRED:
        return {"WWW-Authenticate": 'Bearer realm="authsec"'}  # RFC 6750 section 3: no error code without a proof
    if denied.reason is Reason.ATTESTATION_INVALID:
        return {"WWW-Authenticate": 'Bearer realm="authsec", error="invalid_token"'}
    return {}
