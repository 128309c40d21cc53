"""An API uses at another API the token that an agent sent to it.

The audience stops it, if there is no default, no wildcard and no comparison of prefixes.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec import ConfigError, TokenVerifier

from ..fake_keys import AUDIENCE, ISSUER, key_set, reason_of, token, verifier_of


@pytest.mark.parametrize(
    "aud",
    [
        "https://billing.example.com",
        ["https://billing.example.com", "https://mail.example.com"],
        AUDIENCE + "/",
        AUDIENCE + ".attacker.example",
        AUDIENCE[:-1],
        AUDIENCE.upper(),
        f"{AUDIENCE} https://billing.example.com",
        f"{AUDIENCE},https://billing.example.com",
        "*",
        ["https://*.example.com"],
    ],
)
def test_only_our_own_name_exactly(aud: Any) -> None:
    assert reason_of(verifier_of(), token(aud=aud)) == "audience_mismatch"


@pytest.mark.parametrize("aud", [None, "", [], [""], [None], [[AUDIENCE]], {AUDIENCE: True}, True])
def test_no_audience_is_not_every_audience(aud: Any) -> None:
    assert reason_of(verifier_of(), token(aud=aud)) == "claim_invalid"


@pytest.mark.parametrize("audience", ["", "  ", None, [], [AUDIENCE], b"x"])
def test_an_api_without_a_name_does_not_start(audience: Any) -> None:
    with pytest.raises(ConfigError):
        TokenVerifier(ISSUER, audience, keys=key_set())
