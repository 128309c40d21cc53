"""Notices that confirm a change. Only fixed texts: a link must not make the console show an attacker's text."""

from __future__ import annotations

from collections.abc import Mapping

NOTICES: Mapping[str, str] = {
    "signed_out": "You are signed out.",
    "password_changed": "Your password is changed; your other sessions have ended.",
    "session_ended": "The session has ended.",
    "sessions_ended": "The sessions have ended.",
    "administrator_disabled": "They cannot sign in any more, and their sessions have ended.",
    "administrator_enabled": "They can sign in again.",
    "trusted_issuer_registered": "The trusted issuer is registered.",
    "trusted_issuer_disabled": "The trusted issuer is disabled, and the tokens that rested on it are revoked.",
    "trusted_issuer_enabled": "The trusted issuer is enabled again. Revoked tokens stay revoked.",
    "trusted_issuer_removed": "The trusted issuer is removed, with the proofs that rested on it.",
    "proofs_bound": "The proofs are bound to this trusted issuer.",
    "token_ended": "The token has ended. Its agent gets another when it asks.",
    "token_had_ended": "It had ended before. Nothing was changed.",
    "key_revoked": "The key is revoked: nothing that it signed is believed.",
    "grants_revoked": "All that they had delegated is revoked, for good.",
    "admin_key_revoked": "The admin key is revoked.",
    "key_rotated": "The prepared key signs now. The one before it stays published for longer than any token lives.",
    "api_registered": "The API is registered. Delegate for its audience, and protect it with the lines below.",
    "api_deleted": "The API is deleted. Delegations that name its audience are as they were.",
    "api_credential_revoked": "The credential is revoked: whoever shows it is not taken for this API any more.",
    "role_created": "The role is created. It gives nobody anything until a trust delegation uses it.",
    "role_deleted": "The role is deleted.",
    "delegation_created": "The trust delegation is created, and counts from now on.",
    "delegation_disabled": "The trust delegation is disabled: no new token is given under it.",
    "delegation_enabled": "The trust delegation is enabled again. Revoked tokens stay revoked.",
    "delegation_revoked": "The trust delegation is revoked, for good.",
    "unchanged": "Nothing was different, so nothing was changed.",
    "saved": "Saved.",
    "client_onboarded": "Onboarded. Copy its Client ID below.",
    "clients_disabled": "They are disabled: none of them gets a token until somebody enables it.",
    "client_disabled": "The client is disabled: it gets no token until somebody enables it.",
    "client_enabled": "The client is enabled again. Revoked tokens stay revoked.",
    "client_tokens_revoked": "Its tokens are revoked. It gets new ones when it asks.",
    "client_deleted": "The client is deleted, with its proofs and trust delegations.",
    "proof_added": "The proof is added.",
    "proof_removed": "The proof is removed, and the tokens that rested on it are revoked.",
    "code_taken_back": "The code is taken back: it enrols nothing any more.",
    "welcome": "You are signed in.",
}


def notice(key: str) -> str:
    """Return the notice for `?done=key`; empty for an unknown key."""
    return NOTICES.get(key, "")
