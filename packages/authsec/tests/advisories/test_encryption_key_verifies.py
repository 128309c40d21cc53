"""A key that was published for another purpose verifies a signature.

A key pair for encryption is often held by more people than the signing key. RFC 7517 §4.2: `use` says what for.
"""

from __future__ import annotations

from typing import Any

import pytest

from ..fake_keys import jwk_of, reason_of, rsa_key, token, verifier_of


@pytest.mark.parametrize("members", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"use": "jwt-svid"}, {"use": ["sig"]}])
def test_a_key_for_something_else(members: dict[str, Any]) -> None:
    keys = {"keys": [jwk_of(rsa_key("other"), "other"), jwk_of(rsa_key(), "current", **members)]}
    assert reason_of(verifier_of(keys), token()) == "kid_unknown"
