"""`GET /authsec/uflow/sdk/delegation-token`: parse the HTTP request and format the answer. `issue` decides about it.

`POST /oauth/token` (RFC 6749 section 3.2) supports no grant. Its error says where to request tokens. The endpoint
must exist nevertheless: if the metadata (RFC 8414) names no token endpoint, a client may send its secret to
`/token` at the API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from authsec.grant_url import grant_page
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authsec_server.failures import Invalid, Unavailable
from authsec_server.tokens.decision import Denied, Reason
from authsec_server.tokens.direct import take_begun, was_tried
from authsec_server.tokens.issue import DelegationTokens, Issued
from authsec_server.tokens.metrics import ENDED
from authsec_server.tokens.request import PATH, TokenRequest, parse
from authsec_server.web.bodies import Places, read_fields
from authsec_server.web.errors import error_response, retry_after
from authsec_server.web.oauth import TOKEN_PATH, oauth, oauth_error
from authsec_server.web.operations import resource
from authsec_server.web.request_context import RequestContext, context_of, limit_key
from authsec_server.web.throttle import Throttle

_ANSWERS: Mapping[Reason, tuple[int, str]] = {
    Reason.CLIENT_ID_MISSING: (400, "client_id is missing."),
    Reason.CLIENT_ID_INVALID: (400, "client_id is not a Client ID."),
    Reason.INVALID_SCOPE: (400, "scope is invalid."),
    Reason.INVALID_TARGET: (
        400,
        "This client's delegations are for different APIs, and the request names no resource.",
    ),
    Reason.RATE_LIMITED: (429, "Too many token requests."),
    Reason.CLIENT_NOT_FOUND: (404, "There is no client with this Client ID."),
    Reason.ATTESTATION_REQUIRED: (401, "This client must authenticate."),
    Reason.ATTESTATION_INVALID: (401, "The proof is not valid."),
    Reason.SELECTORS_MISMATCH: (403, "The proof is about another workload than this client."),
    Reason.CLIENT_DISABLED: (403, "This client is disabled."),
    Reason.NO_DELEGATION: (404, "Nothing is delegated to this client."),
    Reason.DELEGATION_ENDED: (410, "The delegations to this client have expired or were revoked."),
    Reason.ACTION_NOT_ALLOWED: (403, "This client requested an action that it may not use."),
    Reason.PROOF_NOT_ACCEPTED: (403, "The delegation does not accept this kind of proof."),
}

_MALFORMED = {Reason.INVALID_TARGET: "resource is malformed."}
_NOT_DELEGATED_THERE = "The requested actions are not delegated for the requested resource."
_GRANTABLE = {Reason.NO_DELEGATION, Reason.DELEGATION_ENDED, Reason.ACTION_NOT_ALLOWED}
"""Reasons for a refusal after which a new trust delegation can help."""


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
            if begun:
                outcome = await begun.outcome()
            elif isinstance(asked, Denied):
                outcome = await run_in_threadpool(tokens.refuse, asked, context.address, context.request_id)
            elif was_tried(request.scope):
                outcome = await run_in_threadpool(tokens.issue, asked)
            else:
                outcome = await tokens.issue_async(asked)
        except Unavailable:
            ENDED.labels(Reason.UNAVAILABLE).inc()
            raise
        ENDED.labels(outcome.reason if isinstance(outcome, Denied) else "granted").inc()
        if isinstance(outcome, Issued):
            return _token(outcome)
        if isinstance(asked, Denied):
            return _refusal(request, outcome, error=_MALFORMED.get(asked.reason, ""))
        named = outcome.reason is Reason.INVALID_TARGET and asked.resources
        return _refusal(
            request,
            outcome,
            error=_NOT_DELEGATED_THERE if named else "",
            extra=_what_would_do(outcome, tokens.issuer, asked),
        )

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


def _what_would_do(denied: Denied, issuer: str, asked: TokenRequest) -> Mapping[str, object]:
    """Return JSON members with the possible next steps after a refusal.

    The steps are: request fewer actions, or ask an administrator to grant more. The agent, its model and the
    person who runs the agent read these members.
    """
    extra: dict[str, object] = {"missing_actions": denied.missing} if denied.missing else {}
    if denied.smaller:
        extra["allowed_scope"] = " ".join(denied.smaller)
    grantable = [action for action in denied.missing if action not in denied.unknown]
    if denied.reason in _GRANTABLE and (grantable or not denied.missing):
        page = grant_page(issuer, asked.client_id, actions=grantable or asked.actions or (), audiences=asked.resources)
        extra |= {"grantable": True, "grant_at": page}
    return extra


def _refusal(
    request: Request, denied: Denied, *, error: str = "", extra: Mapping[str, object] | None = None
) -> JSONResponse:
    """Return the answer to a refused request.

    A reason usually has one fixed sentence. `error` replaces the sentence if the reason has several causes.
    """
    status, usual = _ANSWERS[denied.reason]
    return error_response(
        request,
        status,
        reason=denied.reason,
        error=error or usual,
        details=denied.details,
        retryable=denied.reason is Reason.RATE_LIMITED,
        headers=_headers(denied),
        extra=extra or {},
    )


def _headers(denied: Denied) -> Mapping[str, str]:
    if denied.reason is Reason.RATE_LIMITED:
        return retry_after(denied.retry_after)
    if denied.reason is Reason.ATTESTATION_REQUIRED:
        return {"WWW-Authenticate": 'Bearer realm="authsec"'}  # RFC 6750 section 3: no error code without a proof
    if denied.reason is Reason.ATTESTATION_INVALID:
        return {"WWW-Authenticate": 'Bearer realm="authsec", error="invalid_token"'}
    return {}


AT_ONCE, OF_ONE_NETWORK = 64, 8  # concurrent requests while their forms are read: a stranger may send a form slowly


def token_endpoint(*, issuer: str, address_limit: int, monotonic: Callable[[], float]) -> list[Route]:
    """Return the OAuth token endpoint, with a rate limit for each address.

    The endpoint reads no credential and needs no database.
    """
    throttle = Throttle(address_limit, "Too many token requests came from this address.", monotonic=monotonic)
    places = Places(at_once=AT_ONCE, of_one=OF_ONE_NETWORK)

    async def token(request: Request) -> Response:
        network = limit_key(context_of(request.scope).address)
        throttle.charge(network)
        with places.one(network):
            _require_grant_type(await read_fields(request))
        return oauth_error(
            request,
            "unsupported_grant_type",
            error="This token endpoint supports no grant types.",
            details=f"To get a delegation token: GET {issuer}{PATH}, as AuthSecClient does.",
        )

    return [resource(TOKEN_PATH, post=oauth(token))]


def _require_grant_type(fields: Sequence[tuple[str, str]]) -> None:
    """Raise `Invalid` if the request does not have exactly one `grant_type`.

    An empty parameter is treated as missing (RFC 6749 section 3.2).
    """
    given = [value for name, value in fields if name == "grant_type" and value]
    if not given:
        raise Invalid("grant_type", "The parameter grant_type is missing.", "Send grant_type=... in the form.")
    if len(given) > 1:
        raise Invalid("grant_type", f"grant_type is given {len(given)} times.", "Send grant_type once.")
