"""Notices that confirm a change. All texts are fixed.

Otherwise a link could make the console show an attacker's text.
"""

from __future__ import annotations

from collections.abc import Mapping

NOTICES: Mapping[str, str] = {
    "signed_out": "You are signed out.",
    "password_changed": "Your password is changed; your other sessions have ended.",
    "session_ended": "The session has ended.",
    "sessions_ended": "The sessions have ended.",
    "administrator_disabled": "The administrator is disabled and cannot sign in. All their sessions have ended.",
    "administrator_enabled": "The administrator is enabled and can sign in again.",
    "trusted_issuer_registered": "The trusted issuer is registered.",
    "trusted_issuer_disabled": "The trusted issuer is disabled. All tokens that depend on it are revoked.",
    "trusted_issuer_enabled": "The trusted issuer is enabled again. Revoked tokens stay revoked.",
    "trusted_issuer_removed": "The trusted issuer is removed, with all proofs that depend on it.",
    "proofs_bound": "The proofs are bound to this trusted issuer.",
    "token_ended": "The token has ended. Its agent can get a new token.",
    "token_had_ended": "The token had already ended. Nothing was changed.",
    "key_revoked": "The key is revoked. All tokens that it signed are revoked too.",
    "grants_revoked": "The trust delegations are permanently revoked.",
    "admin_key_revoked": "The admin key is revoked.",
    "key_rotated": "The prepared key is now active. The previous key stays published longer than any token lives.",
    "api_registered": "The API is registered. Create trust delegations for it, and protect it with the code below.",
    "api_deleted": "The API is deleted. Trust delegations that name its audience are unchanged.",
    "api_credential_revoked": "The credential is revoked. It no longer identifies this API.",
    "role_created": "The role is created. It grants nothing until a trust delegation uses it.",
    "role_deleted": "The role is deleted.",
    "delegation_created": "The trust delegation is created and active.",
    "delegation_disabled": "The trust delegation is disabled. No new token is issued under it.",
    "delegation_enabled": "The trust delegation is enabled again. Revoked tokens stay revoked.",
    "delegation_revoked": "The trust delegation is permanently revoked.",
    "unchanged": "There were no changes to save.",
    "saved": "Saved.",
    "client_onboarded": "The client is onboarded. Copy its Client ID below.",
    "clients_disabled": "The clients are disabled. They get no token until somebody enables them.",
    "client_disabled": "The client is disabled. The client gets no token until somebody enables it.",
    "client_enabled": "The client is enabled again. Revoked tokens stay revoked.",
    "client_tokens_revoked": "The client's tokens are revoked. The client can get new tokens.",
    "client_deleted": "The client is deleted, with its proofs and trust delegations.",
    "proof_added": "The proof is added.",
    "proof_removed": "The proof is removed. All tokens issued for it are revoked.",
    "code_taken_back": "The code is taken back. Nobody can use it any more.",
    "welcome": "You are signed in.",
}


def notice(key: str) -> str:
    """Return the notice for `?done=key`, or "" for an unknown key."""
    return NOTICES.get(key, "")
