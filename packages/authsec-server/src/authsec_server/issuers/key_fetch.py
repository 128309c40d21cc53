"""Fetch the keys of an issuer by HTTP. The package `outbound` sends the requests."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from authsec.safe_text import plain

from authsec_server.issuers.key_set_parsing import KeySet, UnusableKeys, read_key_set
from authsec_server.issuers.model import KeysFrom, TrustedIssuer, TrustedIssuerKind
from authsec_server.outbound import Answer, Outbound, OutboundFailed, OutboundLimits

LIMITS = OutboundLimits(seconds=5.0, max_bytes=256 * 1024)
_DISCOVERY = "/.well-known/openid-configuration"


class NotFetched(Exception):
    """The key set was not fetched. The message is a clause for an operator, without a full stop."""


def trust_of(trusted_issuer: TrustedIssuer) -> ssl.SSLContext | None:
    """Return the certificates that are trusted for this trusted issuer alone. None means those of the settings."""
    return ssl.create_default_context(cadata=trusted_issuer.ca) if trusted_issuer.ca else None


def fetch_key_set(
    trusted_issuer: TrustedIssuer, outbound: Outbound, trust: ssl.SSLContext | None, limits: OutboundLimits = LIMITS
) -> KeySet:
    """Fetch the keys that the issuer publishes. Raises `NotFetched`.

    A fetch sends up to two requests, so it blocks for at most twice the time limit of a request.
    """

    def ask(url: str) -> Mapping[str, Any]:
        return _object(trusted_issuer, outbound.get(url, limits=limits, trust=trust))

    try:
        url = trusted_issuer.keys_url if trusted_issuer.keys_from is KeysFrom.URL else _discovered(trusted_issuer, ask)
        return read_key_set(trusted_issuer.kind, ask(url))
    except OutboundFailed as error:
        raise NotFetched(str(error)) from None
    except UnusableKeys as error:
        alarm = ". Consider that key exposed, and tell the operator of the issuer" if error.exposed else ""
        raise NotFetched(f"its published key set cannot be used: {error}{alarm}") from None


def _discovered(trusted_issuer: TrustedIssuer, ask: Callable[[str], Mapping[str, Any]]) -> str:
    """Find the URL of the issuer's keys (OpenID Connect Discovery section 4)."""
    document = ask(trusted_issuer.issuer.rstrip("/") + _DISCOVERY)
    named = document.get("issuer")
    if named != trusted_issuer.issuer:  # to the letter (section 4.3): stops one issuer from posing as another
        raise NotFetched(
            f"its discovery document names the issuer {plain(str(named), 200)!r}, but {trusted_issuer.issuer!r} is "
            "registered"
        )
    url = document.get("jwks_uri")
    if not isinstance(url, str):
        raise NotFetched("its discovery document has no jwks_uri")
    return url


def _object(trusted_issuer: TrustedIssuer, answer: Answer) -> Mapping[str, Any]:
    if answer.status == 200:
        return answer.json_object()
    hint = ""
    if trusted_issuer.kind is TrustedIssuerKind.KUBERNETES and answer.status in {401, 403}:
        hint = (
            ", because clusters refuse anonymous requests: give its keys instead, with `authsec issuers "
            "add kubernetes --from-kubeconfig`"
        )
    raise NotFetched(f"{answer.source} answered {answer.status}{hint}")
