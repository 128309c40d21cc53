"""Parse a token request once. The result is an immutable request, or the first error. All functions are pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from authsec.jose.dpop import DpopProof

from authsec_server.apis.model import parse_action, parse_identifier
from authsec_server.attestation.model import Evidence, Scheme
from authsec_server.failures import Invalid
from authsec_server.naming import is_uuid
from authsec_server.tokens.refusal import Denied, Reason
from authsec_server.web.traces import StepTimes

PATH: Final = "/authsec/uflow/sdk/delegation-token"
MAX_ACTIONS = 200
MAX_RESOURCES = 10
MAX_RESOURCE = 512

Subject: TypeAlias = tuple[str, tuple[str, ...]]
"""A client id, and the resources that a request names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """A request for a delegation token.

    If `actions` is None, the request is for all delegated actions. If `resources` is empty, the request names
    no API. The token is bound to the key of the proof `dpop`.

    `is_stand_in` says that no client has the requested name. `client_id` is then another client: the work is the same
    as for a known name, and the request is always refused. A traced request has a `steps`.
    """

    client_id: str
    actions: tuple[str, ...] | None
    resources: tuple[str, ...]
    evidence: Evidence | None
    address: str
    request_id: str
    dpop: DpopProof | None = None
    is_stand_in: bool = False
    steps: StepTimes | None = field(default=None, compare=False, repr=False)

    @property
    def subject(self) -> Subject:
        """Return the client id and the resources. Facts for the decision are loaded and cached by this value."""
        return self.client_id, self.resources


def parse(
    query: Sequence[tuple[str, str]],
    client_id_headers: Sequence[str],
    authorization_headers: Sequence[str],
    *,
    address: str,
    request_id: str,
) -> TokenRequest | Denied:
    """Return the request, or the refusal if the request is malformed.

    Unknown parameters are ignored (RFC 6749 section 3.2).
    """
    client_id = _client_id([value for name, value in query if name == "client_id"], client_id_headers)
    if isinstance(client_id, Denied):
        return client_id
    actions = read_scope([value for name, value in query if name == "scope"])
    if isinstance(actions, Denied):
        return actions
    resources = read_resources([value for name, value in query if name == "resource"])
    if isinstance(resources, Denied):
        return resources
    return TokenRequest(
        client_id=client_id,
        actions=actions or None,
        resources=resources,
        evidence=evidence_in(authorization_headers),
        address=address,
        request_id=request_id,
    )


def _client_id(in_query: Sequence[str], in_headers: Sequence[str]) -> str | Denied:
    given = in_query or in_headers  # the query wins
    if not given or given == [""]:
        return Denied(reason=Reason.CLIENT_ID_MISSING, details="Add ?client_id=<the agent's Client ID>.")
    if len(given) > 1:
        return Denied(reason=Reason.CLIENT_ID_INVALID, details="client_id is given more than once.")
    if not is_uuid(given[0]):
        return Denied(
            reason=Reason.CLIENT_ID_INVALID,
            details="A Client ID has the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, in lower case.",
        )
    return given[0]


def read_scope(given: Sequence[str]) -> tuple[str, ...] | Denied:
    """Return the actions of the parameter `scope`, which may occur once."""
    if len(given) > 1:
        return _invalid_scope("scope is given more than once; separate actions with spaces.")
    words = given[0].split(" ") if given and given[0] else []
    if len(words) > MAX_ACTIONS:
        return _invalid_scope(f"scope names more than {MAX_ACTIONS} actions.")
    try:
        return tuple(sorted({parse_action(word) for word in words}))
    except Invalid as problem:
        return _invalid_scope(f"{problem.message} {problem.remedy}".strip())


def _invalid_scope(details: str) -> Denied:
    return Denied(reason=Reason.INVALID_SCOPE, details=details)


def read_resources(given: Sequence[str]) -> tuple[str, ...] | Denied:
    """Return the audiences of the parameter `resource` (RFC 8707)."""
    if len(given) > MAX_RESOURCES or any(len(resource) > MAX_RESOURCE for resource in given):
        return Denied(
            reason=Reason.INVALID_TARGET,
            details=f"Request at most {MAX_RESOURCES} resources, each of at most {MAX_RESOURCE} characters.",
        )
    try:
        return tuple(sorted({parse_identifier(resource) for resource in given}))
    except Invalid as problem:
        return Denied(reason=Reason.INVALID_TARGET, details=f"{problem.message} {problem.remedy}".strip())


def evidence_in(headers: Sequence[str]) -> Evidence | None:
    """Return the credential in the Authorization header (RFC 9110 section 11.6.2).

    Return None without such a header. If the request has two such headers, it is unclear which one is meant. The result
    is then invalid evidence.
    """
    if not headers:
        return None
    scheme, _, credential = headers[0].strip().partition(" ")
    if len(headers) > 1:
        return Evidence(scheme=Scheme.OTHER, credential="")
    if scheme.lower() == "bearer":
        return Evidence(scheme=Scheme.BEARER, credential=credential.strip())
    if scheme.lower() == "basic":
        return Evidence(scheme=Scheme.BASIC, credential=credential.strip())
    return Evidence(scheme=Scheme.OTHER, credential="")
