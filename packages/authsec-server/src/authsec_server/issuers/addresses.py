"""Check the URL or trust domain that identifies a trusted issuer, other URLs, and audiences."""

from __future__ import annotations

import re

from authsec_server.failures import Invalid
from authsec_server.issuers.model import TrustedIssuerKind
from authsec_server.naming import quoted
from authsec_server.outbound import OutboundFailed
from authsec_server.outbound.ssrf import read_target
from authsec_server.settings import is_loopback

MAX_URL = 2000
MAX_AUDIENCE = 255
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")  # SPIFFE-ID section 2.1


def parse_issuer(kind: TrustedIssuerKind, text: str) -> str:
    """Check the issuer and return it unchanged. Raises `Invalid`.

    Nothing is normalised, because tokens must contain exactly this text.
    """
    if kind is TrustedIssuerKind.SPIFFE:
        return _parse_trust_domain(text)
    parse_url("issuer", text)
    if "?" in text:
        raise Invalid(
            "issuer",
            f"{quoted(text)} is not an issuer: it has a query.",
            "Give the issuer exactly as in the `iss` of its tokens, e.g. https://token.actions.githubusercontent.com",
        )
    return text


def parse_url(field: str, text: str, *, example: str = "https://issuer.example.com") -> str:
    """Check a URL that this server may call: https, or plain http to this machine. Raises `Invalid`."""
    if not text:
        raise Invalid(field, f"{field} must not be empty.", f"e.g. {example}")
    if len(text) > MAX_URL:
        raise Invalid(field, f"{field} must have at most {MAX_URL} characters.")
    try:
        target = read_target(text)
    except OutboundFailed as error:
        raise Invalid(field, f"{quoted(text)} cannot be used: {error}.", f"e.g. {example}") from None
    if target.scheme == "http" and not is_loopback(target.host):
        raise Invalid(
            field, f"{quoted(text)} is plain http, where an attacker on the network can replace keys.", "Give https://…"
        )
    return text


def parse_audience(text: str) -> str:
    """Check the audience that tokens must have. Raises `Invalid`.

    An empty text means this authority's own issuer.
    """
    if len(text) > MAX_AUDIENCE or not text.isprintable() or text != text.strip():
        raise Invalid(
            "audience",
            f"audience must have at most {MAX_AUDIENCE} visible characters, without spaces at either end.",
            "Leave audience empty to use this authority's own issuer.",
        )
    return text


def _parse_trust_domain(text: str) -> str:
    if not text:
        raise Invalid("issuer", "The trust domain must not be empty.", "e.g. example.org")
    if _TRUST_DOMAIN.fullmatch(text):
        return text
    domain = text.strip().lower().removeprefix("spiffe://").partition("/")[0]
    remedy = f"Write {domain}" if _TRUST_DOMAIN.fullmatch(domain) else "e.g. example.org"
    raise Invalid(
        "issuer",
        f"{quoted(text)} is not a trust domain: use at most 255 lower-case letters, digits, '.', '-' and '_', "
        "without spiffe:// and without a path.",
        remedy,
    )
