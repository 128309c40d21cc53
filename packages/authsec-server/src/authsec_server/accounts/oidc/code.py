"""The code for tokens, and the access token for claims: what the provider is asked once the browser has come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authsec.wording import plain

from authsec_server.accounts.oidc.client import Client
from authsec_server.accounts.oidc.discovery import Provider
from authsec_server.accounts.oidc.refusal import OpenIdRefusal, SignInRefused
from authsec_server.accounts.oidc.transaction import Transaction
from authsec_server.outbound import Answer, Outbound, OutboundFailed

_CLIENT_ERRORS = frozenset({"invalid_client", "unauthorized_client"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the provider gave for the code. Nothing of it is verified yet, and nothing of it is kept."""

    id_token: str = field(repr=False)
    access_token: str = field(repr=False)


def redeem(outbound: Outbound, provider: Provider, client: Client, transaction: Transaction, code: str) -> Tokens:
    """Exchange the code (OpenID Connect Core section 3.1.3, RFC 7636 section 4.5). Raises `SignInRefused`."""
    fields, headers = client.authentication(provider.auth_methods)
    fields |= {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": transaction.verifier,
    }
    try:
        answer = outbound.post_form(provider.token_endpoint, fields, headers=headers)
        if answer.status != 200:
            raise _refused(answer)
        body = answer.json_object()
    except OutboundFailed as error:
        raise SignInRefused(OpenIdRefusal.UNAVAILABLE, str(error)) from None
    id_token, access_token, kind = (body.get(name) for name in ("id_token", "access_token", "token_type"))
    if not (isinstance(id_token, str) and isinstance(access_token, str) and str(kind).lower() == "bearer"):
        raise SignInRefused(OpenIdRefusal.TOKEN_INVALID, "the token endpoint gave no ID token, or no bearer token")
    return Tokens(id_token=id_token, access_token=access_token)


def userinfo(outbound: Outbound, provider: Provider, tokens: Tokens, subject: str) -> Mapping[str, Any]:
    """Claims that providers keep out of the ID token (OpenID Connect Core sections 5.3 and 5.4); empty if it has none.

    Raises `SignInRefused`.
    """
    if provider.userinfo_endpoint is None:
        return {}
    try:
        answer = outbound.get(provider.userinfo_endpoint, headers={"Authorization": f"Bearer {tokens.access_token}"})
        if answer.status != 200:
            raise _unusable(answer)
        claims = answer.json_object()
    except OutboundFailed as error:
        raise SignInRefused(OpenIdRefusal.UNAVAILABLE, str(error)) from None
    if claims.get("sub") != subject:  # section 5.3.2: else another's claims could be slipped in (token substitution)
        raise SignInRefused(OpenIdRefusal.TOKEN_INVALID, "userinfo speaks of another subject than the ID token")
    return claims


def _refused(answer: Answer) -> SignInRefused:
    if answer.status >= 500 or answer.status == 429:
        return _unusable(answer)
    try:
        error = answer.json_object().get("error")
    except OutboundFailed:
        error = None
    known = error if isinstance(error, str) else ""
    code = OpenIdRefusal.CLIENT_REFUSED if known in _CLIENT_ERRORS else OpenIdRefusal.CODE_REFUSED
    return SignInRefused(code, f"{answer.source} answers {answer.status} {plain(known, 60)}".rstrip())


def _unusable(answer: Answer) -> SignInRefused:
    away = answer.status >= 500 or answer.status == 429
    code = OpenIdRefusal.UNAVAILABLE if away else OpenIdRefusal.TOKEN_INVALID
    return SignInRefused(code, f"{answer.source} answers {answer.status}")
