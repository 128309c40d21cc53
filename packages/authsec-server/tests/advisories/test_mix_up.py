"""One provider has a browser bring its answer to the callback of another, to be given the other's code (RFC 9207).

The honest provider's code would be sent to the attacker's token endpoint, or the attacker's taken for the honest one's.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts.oidc import SignInRefused


def answer(provider: Any, **changes: str) -> None:
    its = provider.sign_in()
    begun = its.begin()
    its.finish(begun.transaction, provider.approve(begun.url, **changes))


def test_an_answer_that_names_another_issuer_is_not_ours(provider: Any) -> None:
    with pytest.raises(SignInRefused) as refused:
        answer(provider, iss="https://evil.example")
    assert refused.value.code == "oidc_issuer_mismatch"
    assert "/token" not in provider.asked


def test_a_provider_that_always_names_itself_must_do_so(provider: Any) -> None:
    provider.metadata["authorization_response_iss_parameter_supported"] = True
    answer(provider, iss=provider.issuer)
    for wrong in ({}, {"iss": ""}, {"iss": f"{provider.issuer}/"}):
        with pytest.raises(SignInRefused) as refused:
            answer(provider, **wrong)
        assert refused.value.code == "oidc_issuer_mismatch"


def test_its_errors_too(provider: Any) -> None:
    with pytest.raises(SignInRefused) as refused:
        answer(provider, iss="https://evil.example", error="access_denied")
    assert refused.value.code == "oidc_issuer_mismatch"
