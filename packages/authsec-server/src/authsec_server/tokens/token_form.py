"""Parse the form of the OAuth token endpoint: grant, client, credential, scope and resources. All functions are pure.

A request has exactly one credential. The result contains the credential as `Evidence`, with the rules that apply to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from authsec.jose.dpop import DpopProof

from authsec_server import naming
from authsec_server.attestation.model import Evidence, Scheme
from authsec_server.attestation.service import parse_token
from authsec_server.failures import Invalid
from authsec_server.tokens.refusal import Denied, Reason
from authsec_server.tokens.request import TokenRequest, read_resources, read_scope
from authsec_server.web.oauth import Grant, read_basic

# RFC 7523 section 2.2; draft-ietf-oauth-spiffe-client-auth section 3.1
PRIVATE_KEY_JWT: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_SPIFFE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
_CREDENTIALS: Final = frozenset({"client_secret", "client_assertion", "assertion"})
_OF_CLIENTS: Final = ("client_secret", "client_assertion", "client_assertion_type")
_ONCE: Final = _CREDENTIALS | {"grant_type", "client_id", "client_assertion_type", "scope"}
_OPENID: Final = "The scope openid requests an ID token, and this authority issues none. Remove openid from scope."


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenForm:
    """A request to the token endpoint. `client_name` is the id or slug of the client, unverified.

    `client_name` is empty if only the workload's token shows which client it is.
    """

    grant: Grant
    client_name: str
    evidence: Evidence
    actions: tuple[str, ...] | None
    resources: tuple[str, ...]

    def request(
        self, client_id: str, proof: DpopProof | None, *, address: str, request_id: str, is_stand_in: bool = False
    ) -> TokenRequest:
        """Return the request for a delegation token of the client with this id, bound to the key of the DPoP proof."""
        return TokenRequest(
            client_id=client_id,
            actions=self.actions,
            resources=self.resources,
            evidence=self.evidence,
            address=address,
            request_id=request_id,
            dpop=proof,
            is_stand_in=is_stand_in,
        )


def given(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters that may occur once. Raises `Invalid` for a repeated one.

    An empty parameter counts as missing, and an unknown one is ignored (RFC 6749 section 3.2).
    """
    parameters: dict[str, str] = {}
    for name, value in fields:
        if name not in _ONCE or not value:
            continue
        if name in parameters:
            raise Invalid(name, f"{name} was given more than once.", f"Send {name} once.")
        parameters[name] = value
    return parameters


def refuse_credentials_in_query(names: Iterable[str]) -> None:
    """Raise `Invalid` if the URL contains a credential (RFC 6749 section 2.3.1)."""
    if found := _CREDENTIALS.intersection(names):
        name = min(found)
        raise Invalid(name, f"The URL contains {name}. URLs are often logged.", f"Send {name} in the form.")


def grant_of(parameters: Mapping[str, str]) -> Grant | None:
    """Return the grant of the request, or None for a grant that the endpoint does not support. Raises `Invalid`."""
    asked = parameters.get("grant_type")
    if asked is None:
        raise Invalid("grant_type", "The parameter grant_type is missing.", "Send grant_type=... in the form.")
    return next((grant for grant in Grant if grant == asked), None)


def parse(
    grant: Grant, parameters: Mapping[str, str], resources: Sequence[str], authorization_headers: Sequence[str]
) -> TokenForm | Denied:
    """Return the request, or the refusal if the request has no valid credential, scope or resource.

    Raises `Invalid` for a request that contradicts itself.
    """
    if grant is Grant.JWT_BEARER:
        named = _by_grant(parameters, authorization_headers)
    else:
        named = _credential(parameters, authorization_headers)
    if isinstance(named, Denied):
        return named
    client_name, evidence = named
    scope = parameters.get("scope", "")
    if "openid" in scope.split(" "):
        return Denied(reason=Reason.INVALID_SCOPE, details=_OPENID)
    actions = read_scope([scope])
    if isinstance(actions, Denied):
        return actions
    audiences = read_resources([resource for resource in resources if resource])
    if isinstance(audiences, Denied):
        return audiences
    return TokenForm(
        grant=grant, client_name=client_name, evidence=evidence, actions=actions or None, resources=audiences
    )


def _credential(parameters: Mapping[str, str], headers: Sequence[str]) -> tuple[str, Evidence] | Denied:
    """Return the client's name and its credential.

    The attack: an attacker adds a second credential to a request, and two readers of the request use different ones.
    """
    ways = ["Authorization"] * len(headers)
    ways += [name for name in ("client_secret", "client_assertion") if name in parameters]
    if len(ways) > 1:
        told = " and ".join(ways)
        raise Invalid(ways[-1], f"The client authenticates by {told}.", "Send one credential (RFC 6749 section 2.3).")
    if headers:
        return _by_header(headers[0], parameters)
    if "client_secret" in parameters:
        return _client_id(parameters), Evidence(scheme=Scheme.SECRET, credential=parameters["client_secret"])
    if "client_assertion" in parameters:
        return _by_assertion(parameters["client_assertion"], parameters)
    if "client_assertion_type" in parameters:
        raise Invalid("client_assertion", "client_assertion is missing.", "Send it beside client_assertion_type.")
    return Denied(reason=Reason.ATTESTATION_REQUIRED)


def _by_header(header: str, parameters: Mapping[str, str]) -> tuple[str, Evidence] | Denied:
    scheme, _, credential = header.strip().partition(" ")
    sent = read_basic(credential.strip()) if scheme.lower() == "basic" else None
    if sent is None:
        return Denied(reason=Reason.ATTESTATION_INVALID)
    name, secret = sent
    _require_same(name, parameters, "the Authorization header")
    return name, Evidence(scheme=Scheme.SECRET, credential=secret)


def _by_assertion(assertion: str, parameters: Mapping[str, str]) -> tuple[str, Evidence] | Denied:
    """Return the client's name, and the assertion with the rules that apply to it.

    `iss` chooses the rules: a client's name those of key pairs, a trusted issuer those of workloads. An issuer is a
    URL, so it is never the name of a client.
    """
    asked = parameters.get("client_assertion_type")
    if asked is None:
        raise Invalid("client_assertion_type", "client_assertion_type is missing.", f"Send {PRIVATE_KEY_JWT}")
    if asked == JWT_SPIFFE:
        return _by_svid(Evidence(scheme=Scheme.SVID, credential=assertion), parameters)
    token = parse_token(Evidence(scheme=Scheme.WORKLOAD, credential=assertion))
    if asked != PRIVATE_KEY_JWT or token is None:
        return Denied(reason=Reason.ATTESTATION_INVALID)
    issuer: Any = token.claims.get("iss")
    if isinstance(issuer, str) and (naming.is_uuid(issuer) or naming.is_slug(issuer)):
        _require_same(issuer, parameters, "`iss` of the assertion")
        return issuer, Evidence(scheme=Scheme.KEY_PAIR, credential=assertion, client_name=issuer)
    return _client_id(parameters), Evidence(scheme=Scheme.WORKLOAD, credential=assertion)


def _by_svid(evidence: Evidence, parameters: Mapping[str, str]) -> tuple[str, Evidence] | Denied:
    """Return the client's name and the JWT-SVID.

    The name is empty without a client_id, or if client_id is the workload's SPIFFE ID. The SPIFFE ID then shows which
    client it is (draft-ietf-oauth-spiffe-client-auth section 3.1).
    """
    token = parse_token(evidence)
    if token is None:
        return Denied(reason=Reason.ATTESTATION_INVALID)
    name = parameters.get("client_id", "")
    return "" if name == token.claims.get("sub") else name, evidence


def _by_grant(parameters: Mapping[str, str], headers: Sequence[str]) -> tuple[str, Evidence] | Denied:
    """Return the workload's token, which is grant and credential in one, and the client's name if the form has one."""
    beside = ["Authorization"] * len(headers) + [name for name in _OF_CLIENTS if name in parameters]
    if beside:
        raise Invalid(
            beside[0],
            f"The request has an assertion and {beside[0]}.",
            "The workload's token in the parameter assertion also authenticates the client: send nothing beside it.",
        )
    if "assertion" not in parameters:
        raise Invalid("assertion", "The parameter assertion is missing.", "Send the workload's own token in the form.")
    name, credential = parameters.get("client_id", ""), parameters["assertion"]
    return name, Evidence(scheme=Scheme.WORKLOAD, credential=credential)


def _client_id(parameters: Mapping[str, str]) -> str:
    if "client_id" not in parameters:
        raise Invalid("client_id", "client_id is missing.", "Send client_id in the form.")
    return parameters["client_id"]


def _require_same(name: str, parameters: Mapping[str, str], where: str) -> None:
    if parameters.get("client_id", name) != name:
        raise Invalid("client_id", f"client_id in the form differs from {where}.", "Send the same client_id, or none.")
