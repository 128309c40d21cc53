"""The notices after a change. A query names the notice, so that a link cannot show a text of its own."""

from __future__ import annotations

from collections.abc import Mapping

NOTICES: Mapping[str, str] = {
    "signed_out": "You are signed out.",
    "password_changed": "Your password is changed; your other sessions have ended.",
    "second_factor_off": "Your second factor is off.",
    "second_factor_reset": "The second factor is removed, and all sessions of the administrator have ended.",
    "session_ended": "The session has ended.",
    "sessions_ended": "The sessions have ended.",
    "administrator_disabled": "The administrator is disabled and cannot sign in. All their sessions have ended.",
    "administrator_enabled": "The administrator is enabled and can sign in again.",
    "trusted_issuer_added": "The trusted issuer is added.",
    "trusted_issuer_without_keys": "The trusted issuer is added. It proves nothing until it has keys.",
    "trusted_issuer_disabled": "The trusted issuer is disabled. All tokens that depend on it are revoked.",
    "trusted_issuer_enabled": "The trusted issuer is enabled again. Revoked tokens stay revoked.",
    "trusted_issuer_removed": "The trusted issuer is removed, with all proofs that depend on it.",
    "proofs_bound": "The proofs are bound to this trusted issuer.",
    "token_ended": "The token is revoked. Its agent can get a new token.",
    "token_had_ended": "The token was already revoked.",
    "nothing_changed": "Nothing was changed: this page was older than the change.",
    "key_revoked": "The key is revoked. All tokens that it signed are revoked too.",
    "grants_revoked": "The trust delegations are permanently revoked.",
    "admin_key_revoked": "The admin key is revoked.",
    "key_rotated": "The prepared key is now active. The previous key stays published longer than any token lives.",
    "api_registered": "The API is registered. Create trust delegations for it, and protect it with the code below.",
    "api_deleted": "The API is deleted. Trust delegations that name its audience are unchanged.",
    "api_credential_revoked": "The credential is revoked and no longer identifies this API.",
    "role_created": "The role is created. It grants nothing until a trust delegation uses it.",
    "role_deleted": "The role is deleted.",
    "delegation_created": "The trust delegation is created and live.",
    "delegation_disabled": "The trust delegation is disabled. No new token is issued under it.",
    "delegation_enabled": "The trust delegation is enabled again. Revoked tokens stay revoked.",
    "delegation_revoked": "The trust delegation is permanently revoked.",
    "unchanged": "There were no changes to save.",
    "saved": "Saved.",
    "checked": "Checked. This page shows the current state.",
    "client_onboarded": "The client is onboarded. Copy its Client ID below.",
    "clients_disabled": "The clients are disabled. They get no token until somebody enables them.",
    "client_disabled": "The client is disabled. The client gets no token until somebody enables it.",
    "client_enabled": "The client is enabled again. Revoked tokens stay revoked.",
    "client_tokens_revoked": "The client's tokens are revoked. The client can get new tokens.",
    "client_deleted": "The client is deleted, with its proofs and trust delegations.",
    "proof_added": "The proof is added.",
    "proof_bound": "The proof is bound to the trusted issuer.",
    "proof_removed": "The proof is removed. All tokens issued for it are revoked.",
    "code_taken_back": "The code is taken back. Nobody can use it any more.",
    "welcome": "You are signed in.",
}
"""The notice after a change, by the value of `?done=`. A link must not show any text of its own."""
WARNINGS = frozenset({"trusted_issuer_without_keys", "nothing_changed"})
