"""Sign-in through an OpenID provider: authorization code flow with PKCE (OpenID Connect Core, RFC 9700).

This package returns a verified identity and the role that the provider grants. Administrators and sessions
are in `accounts`; pages and cookies are in `console`.
"""

from __future__ import annotations

from authsec_server.accounts.oidc.flow import CALLBACK_PATH, Begun, Finished, OpenIdSignIn, sign_in_of
from authsec_server.accounts.oidc.identity import OpenIdRefusal, SignInRefused, VerifiedIdentity
from authsec_server.accounts.oidc.transaction import TRANSACTION_SECONDS

__all__ = [
    "CALLBACK_PATH",
    "TRANSACTION_SECONDS",
    "Begun",
    "Finished",
    "OpenIdRefusal",
    "OpenIdSignIn",
    "SignInRefused",
    "VerifiedIdentity",
    "sign_in_of",
]
