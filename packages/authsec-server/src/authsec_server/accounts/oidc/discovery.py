"""What a provider says of itself (OpenID Connect Discovery section 4), read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authsec.wording import plain

from authsec_server.accounts.oidc.refusal import OpenIdRefusal, SignInRefused
from authsec_server.outbound import Outbound, OutboundFailed

_SUFFIX = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider's endpoints and what matters of its abilities. `names_itself`: its answers carry `iss` (RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    auth_methods: frozenset[str]
    names_itself: bool


def discovery_url(issuer: str) -> str:
    """Where the provider describes itself."""
    return issuer.rstrip("/") + _SUFFIX


def read_provider(document: Mapping[str, Any], issuer: str, outbound: Outbound) -> Provider:
    """The provider that `document` describes. Raises `SignInRefused`, with what does not fit in its note."""
    named = document.get("issuer")
    if named != issuer:  # to the letter (section 4.3): stops one provider from posing as another
        raise _unfit(f"it names the issuer {plain(str(named), 200)!r}, and the settings say {issuer!r}")
    if "code" not in _texts(document, "response_types_supported"):
        raise _unfit("it does not offer the authorization code flow")
    if "S256" not in _texts(document, "code_challenge_methods_supported", absent="S256"):
        raise _unfit("it does not offer PKCE with S256")
    has_userinfo = "userinfo_endpoint" in document
    return Provider(
        issuer=issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", outbound),
        token_endpoint=_endpoint(document, "token_endpoint", outbound),
        jwks_uri=_endpoint(document, "jwks_uri", outbound),
        userinfo_endpoint=_endpoint(document, "userinfo_endpoint", outbound) if has_userinfo else None,
        auth_methods=_texts(document, "token_endpoint_auth_methods_supported", absent="client_secret_basic"),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(document: Mapping[str, Any], name: str, outbound: Outbound) -> str:
    url = document.get(name)
    if not isinstance(url, str):
        raise _unfit(f"it has no {name}")
    try:
        outbound.check_url(url)  # a browser is sent to one of them: `javascript:` and the like must not get that far
    except OutboundFailed as error:
        raise _unfit(f"{name}: {error}") from None
    return url


def _texts(document: Mapping[str, Any], name: str, *, absent: str = "") -> frozenset[str]:
    """A list of strings; `absent` is what its absence means."""
    values = document.get(name, [absent])
    return frozenset(value for value in values if isinstance(value, str)) if isinstance(values, list) else frozenset()


def _unfit(what: str) -> SignInRefused:
    return SignInRefused(OpenIdRefusal.MISCONFIGURED, f"the provider's discovery document does not fit: {what}")
