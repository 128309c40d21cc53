"""`POST /oauth/token`: the OAuth token endpoint (RFC 6749 section 3.2). `issue` decides about its requests.

Both token endpoints have the same decisions, limits and audit log. Their answers differ only in form. One difference is
on purpose: a slug can be guessed, so an unknown client and an unauthenticated caller get the same answer here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authsec_server import naming
from authsec_server.attestation.client_search import ClientSearch
from authsec_server.attestation.key_pair import MAX_CLAIMED_LIFETIME, MAX_LIFETIME
from authsec_server.attestation.model import Evidence, Refused, Unchecked
from authsec_server.attestation.service import malformed_credential
from authsec_server.clients import service as clients
from authsec_server.failures import Unavailable
from authsec_server.metrics.catalogue import TOKEN_REQUESTS
from authsec_server.tokens import dpop
from authsec_server.tokens.direct import GRANTED
from authsec_server.tokens.dpop import DpopCheck, DpopNonces, NonceNeeded
from authsec_server.tokens.issue import DelegationTokens, Issued
from authsec_server.tokens.log_notes import note_outcome
from authsec_server.tokens.refusal import Denied, Reason, too_often
from authsec_server.tokens.refusal_texts import next_steps, sentence
from authsec_server.tokens.request import TokenRequest
from authsec_server.tokens.token_form import (
    PRIVATE_KEY_JWT,
    TokenForm,
    given,
    grant_of,
    parse,
    refuse_credentials_in_query,
)
from authsec_server.web.bodies import Places, read_fields
from authsec_server.web.errors import retry_after
from authsec_server.web.oauth import Grant, oauth, oauth_error
from authsec_server.web.oauth_errors import TOKEN_PATH
from authsec_server.web.operations import resource
from authsec_server.web.request_context import RequestContext, context_of, limit_key
from authsec_server.web.traces import steps_of

# Concurrent requests while their forms are read: a stranger may send a form slowly, and a network has many agents.
AT_ONCE, OF_ONE_NETWORK = 128, 32
_DOOR: Final = "oauth"  # this endpoint in metrics

_UNPROVED: Final = frozenset(
    {
        Reason.CLIENT_NOT_FOUND,
        Reason.ATTESTATION_REQUIRED,
        Reason.ATTESTATION_INVALID,
        Reason.SELECTORS_MISMATCH,
        Reason.CLIENT_AMBIGUOUS,
    }
)
_ERRORS: Mapping[Reason, tuple[int, str]] = {
    **dict.fromkeys([*_UNPROVED, Reason.CLIENT_DISABLED], (401, "invalid_client")),
    Reason.NO_DELEGATION: (400, "unauthorized_client"),
    Reason.DELEGATION_ENDED: (400, "unauthorized_client"),
    Reason.PROOF_NOT_ACCEPTED: (400, "unauthorized_client"),
    Reason.INVALID_DPOP_PROOF: (400, "invalid_dpop_proof"),  # RFC 9449 section 5
    Reason.INVALID_SCOPE: (400, "invalid_scope"),
    Reason.ACTION_NOT_ALLOWED: (400, "invalid_scope"),
    Reason.INVALID_TARGET: (400, "invalid_target"),  # RFC 8707 section 2
    Reason.RATE_LIMITED: (429, "temporarily_unavailable"),
}
"""The status and the error code (RFC 6749 section 5.2) of each reason."""

_BAD_GRANT: Final = (400, "invalid_grant")  # for a client that only the grant's assertion authenticates
_NEEDS_DPOP: Final = (400, "invalid_dpop_proof")  # for a delegation that requires DPoP, if the request has no proof

_NO_CREDENTIAL: Final = (
    "Authenticate by client_assertion (private_key_jwt, or a workload's token), or by a client secret. A client_id "
    "alone is not enough here, also for an unattested client."
)


class _Way(StrEnum):
    """How the request authenticates."""

    SECRET = "secret"  # noqa: S105 - a name
    ASSERTION = "assertion"
    GRANT = "grant"


_CAUSE: Final = "The operator finds the cause in the audit log."
_HOW: Final[Mapping[_Way, str]] = {
    _Way.SECRET: "Check the client_id, and that the secret is the current secret of this client, complete. With Basic, "
    "encode both parts (RFC 6749 section 2.3.1).",
    _Way.ASSERTION: "Check the client_id, and that the key is registered for it. An assertion of the client has `iss` "
    "and `sub` equal to the client_id, `aud` exactly {issuer}, a new `jti`, and `exp` at most "
    f"{MAX_LIFETIME} seconds from now ({MAX_CLAIMED_LIFETIME} with a fresh `iat`). A workload's token has the `aud` of "
    "its trusted issuer.",
    _Way.GRANT: "The assertion must be a valid token of a trusted issuer, with the audience {issuer} or the one that "
    "the trusted issuer is registered with. Exactly one client must have a proof that the workload matches.",
}

_AS_CLIENT: Final = (
    f"Send it as client_assertion, with client_assertion_type={PRIVATE_KEY_JWT} and "
    f"grant_type={Grant.CLIENT_CREDENTIALS}."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """Answers the requests of one event loop."""

    tokens: DelegationTokens
    client_search: ClientSearch
    dpop_check: DpopCheck
    slug_key: bytes = field(repr=False)
    places: Places = field(default_factory=lambda: Places(at_once=AT_ONCE, of_one=OF_ONE_NETWORK))

    async def answer(self, request: Request) -> Response:
        """Issue a token, or refuse the request.

        The address is charged before the form is read: reading a form takes more time than sending one.
        """
        context = context_of(request.scope)
        if wait := self.tokens.rates.charge_address(context.address):
            return await self._refuse(request, too_often(wait))
        refuse_credentials_in_query(request.query_params)
        with self.places.one(limit_key(context.address)):
            fields = await read_fields(request)
        parameters = given(fields)
        grant = grant_of(parameters)
        if grant is None:
            return oauth_error(
                request,
                "unsupported_grant_type",
                error="This token endpoint does not support the grant type.",
                details=f"Supported: {' and '.join(Grant)}.",
            )
        resources = [value for name, value in fields if name == "resource"]
        way = _way(grant, parameters, request)
        form = parse(grant, parameters, resources, request.headers.getlist("authorization"))
        if isinstance(form, Denied):
            return await self._refuse(request, form, way)
        try:
            proof = self.dpop_check.read(request.headers.getlist(dpop.HEADER), self.tokens.now().timestamp())
        except NonceNeeded as needed:  # before the assertion is used up: some clients send it again
            return _nonce_needed(request, needed.nonce)
        if isinstance(proof, Denied):
            return await self._refuse(request, proof, way)
        client = await self._client(request, form)
        if isinstance(client, Denied):
            return await self._refuse(request, client, way, form.evidence)
        client_id, is_known = client
        asked = form.request(
            client_id, proof, address=context.address, request_id=context.request_id, is_stand_in=not is_known
        )
        if steps := steps_of(request.scope):
            asked = replace(asked, steps=steps)
        outcome = await self.tokens.issue_async(asked, is_charged=True)
        note_outcome(request.scope, asked, outcome)
        if isinstance(outcome, Denied):
            return self._refusal(request, outcome, asked, way, form.evidence)
        TOKEN_REQUESTS.of(_DOOR, GRANTED).add()
        return _token(outcome)

    async def _client(self, request: Request, form: TokenForm) -> tuple[str, bool] | Denied:
        """Return the id of the client that the form names by its id or slug, or that the workload's token names.

        For an unknown slug, return the id of another client and False.
        """
        name = form.client_name
        if not name:
            return await run_in_threadpool(self._search, form, context_of(request.scope))
        if naming.is_uuid(name):
            return name, True
        found = await run_in_threadpool(self._find, name) if naming.is_slug(name) else None
        return found or Denied(reason=Reason.CLIENT_NOT_FOUND)

    def _search(self, form: TokenForm, context: RequestContext) -> tuple[str, bool] | Denied:
        try:
            found = self.client_search.find(form.evidence)
        except Unchecked as error:
            denied = Denied(reason=Reason.UNAVAILABLE, unassigned=error.unassigned)
            with suppress(Unavailable):  # if recording fails too, the answer is the same
                self.tokens.refuse(denied, context.address, context.request_id)
            raise
        return Denied.of(found) if isinstance(found, Refused) else (found, True)

    def _find(self, slug: str) -> tuple[str, bool] | None:
        return self.tokens.database.read(lambda tx: clients.named_or_another(tx, slug, self.slug_key))

    async def _refuse(
        self, request: Request, denied: Denied, way: _Way | None = None, evidence: Evidence | None = None
    ) -> JSONResponse:
        """Count a refusal for which no client was loaded, and return the answer."""
        context = context_of(request.scope)
        await run_in_threadpool(self.tokens.refuse, denied, context.address, context.request_id)
        return self._refusal(request, denied, None, way, evidence)

    def _refusal(
        self,
        request: Request,
        denied: Denied,
        asked: TokenRequest | None,
        way: _Way | None,
        evidence: Evidence | None,
    ) -> JSONResponse:
        TOKEN_REQUESTS.of(_DOOR, denied.reason).add()
        status, code = _ERRORS[denied.reason]
        if status == 401 and way is _Way.GRANT:
            status, code = _BAD_GRANT
        if denied.needs_dpop:
            status, code = _NEEDS_DPOP
        if denied.reason in _UNPROVED and not denied.is_authentic:
            denied = self._without_traces(denied, way, evidence)
        headers = dict(retry_after(denied.retry_after)) if denied.reason is Reason.RATE_LIMITED else {}
        if status == 401 and "authorization" in request.headers:  # RFC 6749 section 5.2
            headers["WWW-Authenticate"] = 'Basic realm="authsec"'
        return oauth_error(
            request,
            code,
            status=status,
            reason=denied.reason,
            error=sentence(denied, asked),
            details=denied.details,
            retryable=denied.reason is Reason.RATE_LIMITED,
            headers=headers,
            extra={} if asked is None else next_steps(denied, self.tokens.issuer, asked),
        )

    def _without_traces(self, denied: Denied, way: _Way | None, evidence: Evidence | None) -> Denied:
        """Return a refusal that does not show whether the client exists, and how it could authenticate.

        The text depends on the request alone.
        """
        if denied.reason is Reason.ATTESTATION_REQUIRED:
            return Denied(reason=denied.reason, details=_NO_CREDENTIAL)
        how = _HOW[way or _Way.ASSERTION].format(issuer=self.tokens.issuer)
        if malformed := malformed_credential(evidence):
            how = f"{malformed} {_AS_CLIENT}" if way is _Way.GRANT else malformed
        return Denied(reason=Reason.ATTESTATION_INVALID, details=f"{how} {_CAUSE}")


def _way(grant: Grant, parameters: Mapping[str, str], request: Request) -> _Way:
    if grant is Grant.JWT_BEARER:
        return _Way.GRANT
    is_secret = "authorization" in request.headers or "client_secret" in parameters
    return _Way.SECRET if is_secret else _Way.ASSERTION


def routes(
    tokens: DelegationTokens, client_search: ClientSearch, nonces: DpopNonces, slug_key: bytes, *, needs_nonce: bool
) -> list[Route]:
    """Return the route of the token endpoint. `needs_nonce` says that each DPoP proof must have a nonce.

    All servers of a database have the same secret `slug_key`. It chooses which client stands in for an unknown slug.
    """
    dpop_check = DpopCheck(url=tokens.issuer + TOKEN_PATH, nonces=nonces, needs_nonce=needs_nonce)
    endpoint = TokenEndpoint(tokens=tokens, client_search=client_search, dpop_check=dpop_check, slug_key=slug_key)

    async def answer(request: Request) -> Response:
        try:
            return await endpoint.answer(request)
        except Unavailable:
            TOKEN_REQUESTS.of(_DOOR, Reason.UNAVAILABLE).add()
            raise

    return [resource(TOKEN_PATH, post=oauth(answer))]


def _nonce_needed(request: Request, nonce: str) -> JSONResponse:
    """Return the answer with a new nonce (RFC 9449 section 8). It is no refusal, so the audit log does not have it."""
    return oauth_error(
        request,
        "use_dpop_nonce",
        error="The DPoP proof needs a nonce of this authority.",
        details="Send the request again, with a new proof that has the nonce of the header DPoP-Nonce.",
        retryable=True,
        headers={"DPoP-Nonce": nonce},
    )


def _token(issued: Issued) -> Response:
    return Response(issued.oauth_answer, headers={"Cache-Control": "no-store"}, media_type="application/json")
