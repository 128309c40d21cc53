"""An attacker has caught a victim's code (from a log, a referrer, an extension) and injects it into their own sign-in.

State is the attacker's own, so it fits. PKCE binds the code to the victim's verifier, the nonce the ID token to the
victim's sign-in (RFC 9700 section 4.5).
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts.oidc import SignInRefused


def injected(provider: Any, its: Any) -> SignInRefused:
    stolen = dict(provider.approve(its.begin().url))["code"]
    attacker = its.begin()
    own_answer = dict(provider.approve(attacker.url))
    with pytest.raises(SignInRefused) as refused:
        its.finish(attacker.transaction, [("code", stolen), ("state", own_answer["state"])])
    return refused.value


def test_the_code_does_not_fit_the_attackers_verifier(provider: Any) -> None:
    assert injected(provider, provider.sign_in()).code == "oidc_code_refused"


def test_and_where_the_provider_forgets_pkce_the_nonce_does_not_fit(provider: Any) -> None:
    def careless(form: dict[str, str]) -> bytes:
        token = provider.id_token(provider.codes[form["code"]]["nonce"])
        body = {"id_token": token, "access_token": provider.access_token, "token_type": "Bearer"}
        return bytes(provider._http(body))

    provider._redeem = careless
    its = provider.sign_in()
    provider.walk(its)
    assert injected(provider, its).code == "oidc_token_invalid"


def test_the_verifier_is_nowhere_but_in_the_browsers_cookie(provider: Any) -> None:
    from authsec_server.accounts.oidc.transaction import Transaction

    begun = provider.sign_in().begin()
    transaction = Transaction.read(begun.transaction)
    assert transaction is not None
    for secret in (transaction.verifier, transaction.nonce, transaction.state):
        assert secret not in repr(transaction)
        assert secret not in repr(begun)
    assert transaction.verifier not in begun.url
