"""Check of the authority's metadata: does a stock OAuth client find the token endpoint, given only the issuer?

The SDK needs none of this. It reads the metadata below AUTHSEC_BASE_URL, and only their issuer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from authsec.authority import require_trusted
from authsec.clock import Clock
from authsec.config import AuthSecConfig
from authsec.doctor.report import Finding
from authsec.errors import AuthSecError, ConfigError
from authsec.refusals import json_object
from authsec.safe_text import plain
from authsec.terminal import Grade
from authsec.transport import Transport

_STEP: Final = "oauth"
_OAUTH, _OPENID = "oauth-authorization-server", "openid-configuration"
_GRANT: Final = "client_credentials"
_METHODS: Final = "token_endpoint_auth_methods_supported"
_ALGORITHMS: Final = "token_endpoint_auth_signing_alg_values_supported"
_DPOP: Final = "dpop_signing_alg_values_supported"
_CLIP: Final = 200
_REMEDY: Final = (
    "Agents with the SDK are not affected. For stock OAuth clients, the operator must make the authority reachable at "
    "its issuer (AUTHSEC_SERVER_PUBLIC_URL), without a proxy that changes its metadata."
)


def check_metadata(issuer: str, config: AuthSecConfig, clock: Clock) -> Finding:
    """Fetch the metadata from the address that the issuer implies, and check what stock clients check."""
    try:
        require_trusted(issuer, config)
        transport = Transport(replace(config, base_url=issuer), clock)
        document = _document(transport, issuer, _OAUTH, config, clock)
        problems = [*_problems(document, issuer)]
        if document_of_openid := _document(transport, issuer, _OPENID, config, clock):
            problems += _of_issuer(document_of_openid, issuer, _OPENID)
    except ConfigError as error:
        if error.reason == "issuer_not_pinned":
            return Finding.skipped(_STEP, "needs an issuer that is trusted")
        return _amber([str(error)])
    except AuthSecError as error:
        return _amber([f"the metadata of {issuer} cannot be read: {error}"])
    if problems:
        return _amber(problems)
    methods = ", ".join(document[_METHODS])
    facts = [f"stock clients get tokens at {document['token_endpoint']}, by {methods}"]
    if algorithms := _texts(document, _DPOP):
        facts.append(f"a DPoP proof binds a token to a key: {', '.join(algorithms)}")
    return Finding(step=_STEP, facts=tuple(facts))


def address(issuer: str, name: str) -> str:
    """Return the address of a metadata document: the well-known part is before the issuer's path (RFC 8414 §3.1)."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}/.well-known/{name}{parts.path.rstrip('/')}"


def _document(transport: Transport, issuer: str, name: str, config: AuthSecConfig, clock: Clock) -> Mapping[str, Any]:
    """Return the document. For OpenID Connect, return an empty document if there is none."""
    url = address(issuer, name)
    answer = transport.get_address(url, deadline=clock.monotonic() + config.timeout)
    if answer.status == 200:
        return json_object(answer)
    if name == _OPENID:
        return {}
    raise ConfigError(f"{url} answers {answer.status}", reason="no_metadata")


def _amber(problems: list[str]) -> Finding:
    facts = tuple(plain(problem, _CLIP) for problem in problems)
    return Finding(step=_STEP, grade=Grade.AMBER, facts=facts, reason="oauth_metadata", remedy=_REMEDY)


def _problems(document: Mapping[str, Any], issuer: str) -> Iterator[str]:
    yield from _of_issuer(document, issuer, _OAUTH)
    for member in ("token_endpoint", "authorization_endpoint", "jwks_uri"):
        value = document.get(member)
        if not isinstance(value, str):
            yield f"the metadata have no {member}"
        elif origin_of(value) != origin_of(issuer):
            yield f"{member} is {value}, which is not on the issuer's host"
    for member, wanted in (("response_types_supported", ""), ("grant_types_supported", _GRANT), (_METHODS, "")):
        values = _texts(document, member)
        if not values:
            yield f"the metadata have no {member}"
        elif wanted and wanted not in values:
            yield f"{member} has no {wanted}: this authority has no token endpoint for stock clients"
    if "private_key_jwt" in _texts(document, _METHODS) and not _texts(document, _ALGORITHMS):
        yield f"the metadata have no {_ALGORITHMS}, which private_key_jwt requires"
    if _DPOP in document:
        yield from _of_dpop(_texts(document, _DPOP))


def _of_dpop(algorithms: list[str]) -> Iterator[str]:
    """Check the algorithms of DPoP proofs: whoever reads a proof with a MAC, or unsigned, accepts it from anybody."""
    if not algorithms:
        yield f"{_DPOP} is no list of algorithms"
    for algorithm in algorithms:
        if algorithm.lower() == "none" or algorithm.startswith("HS"):
            yield f"{_DPOP} has {algorithm}, which is not asymmetric"


def _of_issuer(document: Mapping[str, Any], issuer: str, name: str) -> Iterator[str]:
    """Compare the issuers as strings: clients must not normalise them (RFC 8414 §3.3)."""
    if document.get("issuer") != issuer:
        yield f"the issuer in {name} is {document.get('issuer')!r}, and clients require {issuer!r}"


def _texts(document: Mapping[str, Any], member: str) -> list[str]:
    values = document.get(member)
    return values if isinstance(values, list) and all(isinstance(value, str) for value in values) else []


def origin_of(url: str) -> tuple[str, str]:
    """Return scheme, host and port, as they are spelled in the URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
