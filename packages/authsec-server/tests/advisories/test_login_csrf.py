"""An attacker begins a sign-in, takes the answer meant for their own browser and has a victim's browser bring it.

The victim would then work in the attacker's account and hand over what they type there (login cross-site request
forgery). Only the browser that began a sign-in can end it.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts.oidc import SignInRefused


def test_a_browser_without_a_sign_in_under_way(provider: Any) -> None:
    its = provider.sign_in()
    answer_of_the_attacker = provider.approve(its.begin().url)
    with pytest.raises(SignInRefused) as refused:
        its.finish("", answer_of_the_attacker)
    assert refused.value.code == "oidc_not_begun"
    assert "/token" not in provider.asked


def test_a_browser_with_a_sign_in_of_its_own_under_way(provider: Any) -> None:
    its = provider.sign_in()
    answer_of_the_attacker = provider.approve(its.begin().url)
    victim = its.begin()
    with pytest.raises(SignInRefused) as refused:
        its.finish(victim.transaction, answer_of_the_attacker)
    assert refused.value.code == "oidc_state_mismatch"
    assert "/token" not in provider.asked


@pytest.mark.parametrize("state", ["", "None", "A" * 43])
def test_a_state_cannot_be_left_out_or_guessed(provider: Any, state: str) -> None:
    its = provider.sign_in()
    begun = its.begin()
    with pytest.raises(SignInRefused) as refused:
        its.finish(begun.transaction, provider.approve(begun.url, state=state))
    assert refused.value.code == "oidc_state_mismatch"


def test_a_state_fixed_by_somebody_else_does_not_survive_its_use(provider: Any) -> None:
    """Cookie and answer in one hand, for instance from a shared computer's history, open nothing a second time."""
    its = provider.sign_in()
    begun = its.begin()
    answer = provider.approve(begun.url)
    its.finish(begun.transaction, answer)
    again = provider.approve(begun.url)  # even with a fresh code for the same sign-in
    with pytest.raises(SignInRefused) as refused:
        its.finish(begun.transaction, again)
    assert refused.value.code == "oidc_used"
