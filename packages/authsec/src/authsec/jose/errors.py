"""Why a token or a key was refused."""

from __future__ import annotations


class JoseError(Exception):
    """A token or a key is refused. `reason` is a stable code; the text never holds token or key.

    Tokens: `too_large`, `malformed`, `crit`, `embedded_key`, `alg_not_allowed`, `key_mismatch`, `bad_signature`.
    Keys: `malformed_key`, `private_key`, `not_private_key`, `encrypted_key`, `unsupported_key`, `weak_key`, `key_use`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
