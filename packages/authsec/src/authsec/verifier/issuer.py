"""Issuers: check the issuer that a verifier accepts, and read the issuers in an unverified token."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from authsec.config import is_loopback
from authsec.errors import ConfigError

THROWAWAY_ISSUER: Final = "https://authsec.invalid"
"""The issuer of the tokens that `authsec.testing` makes."""


def refuse_throwaway(issuer: str) -> None:
    """Refuse an issuer whose host ends in `.invalid`. Raises `ConfigError`.

    Any test can issue tokens under such a name. No authority has such a name (RFC 2606 §2).
    """
    try:
        host = urlsplit(issuer).hostname or ""
    except ValueError:
        return  # not a URL, so not the issuer of tests
    if host.rstrip(".").rpartition(".")[2] == "invalid":
        raise _invalid(
            "issuer is the reserved name for tests: everybody can make tokens with it. Give the issuer of your "
            "authority. In tests, use authsec.testing, which creates its own verifiers."
        )


def throwaway_hint(issuers: Collection[str]) -> str:
    """Return the missing step of a test, if `authsec.testing` issued the token; otherwise return an empty text.

    The result is added to the end of a message.
    """
    if THROWAWAY_ISSUER not in issuers:
        return ""
    return (
        " This token was made by authsec.testing, and only a test can accept it. In the test, first call "
        "authsec_authority.stand_in_for(verifier)."
    )


def check_issuer(issuer: str, allow_http_hosts: Collection[str]) -> None:
    """Check that the issuer is an https address without user, query and fragment (RFC 8414 §2). Raises `ConfigError`.

    Plain http is accepted on loopback and for `allow_http_hosts`.
    """
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    unwritable = not issuer.isascii() or not issuer.isprintable() or any(char in issuer for char in "@?# \\")
    if host is None or unwritable or parts.scheme not in {"http", "https"}:
        raise _invalid("issuer must be the authority's address as its tokens name it, like https://authsec.example.com")
    trusted_network = is_loopback(host) or host in {name.lower() for name in allow_http_hosts}
    if parts.scheme == "http" and not trusted_network:
        # The attack: without TLS, somebody on the network replaces the keys.
        raise _invalid(
            "issuer is plain http, so an attacker on the network could replace the authority's keys. Use https, or, "
            f"if the network to this host is trusted, set AUTHSEC_ALLOW_HTTP_HOSTS={host}"
        )


def _invalid(message: str) -> ConfigError:
    return ConfigError(message, reason="issuer_invalid")


def named_issuers(token: str) -> frozenset[str]:
    """Return every issuer that a JSON reader could find in the token; an empty set if the token is not a JWT.

    The result is not verified. Use it only to choose the verifier or to pass the token on, and never to accept
    the token. If `iss` occurs several times, the result has all its values, because JSON readers differ in their
    choice.
    """
    payload = "".join(token.split(".")[1:2]).encode("utf-8", "replace")
    try:
        members = json.loads(
            base64.b64decode(payload + b"===", altchars=b"-_"),
            object_pairs_hook=_Members,
            # Python refuses a number with very many digits, but other parsers accept it.
            parse_int=str,
        )
    except (ValueError, RecursionError):
        return frozenset()
    if not isinstance(members, _Members):
        return frozenset()
    return frozenset(value for name, value in members if name == "iss" and isinstance(value, str))


class _Members(list[tuple[str, object]]):
    """The members of one JSON object, including repeated ones."""
