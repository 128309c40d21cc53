"""Two requests with one token share what was found of it, and a handler of the first changes it for the second.

An identity cannot be changed, and of its claims each reader gets lists and objects of its own.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from ..fake_keys import claims, token, verifier_of


def test_no_handler_can_give_the_next_one_more() -> None:
    verifier, bearer = verifier_of(), token()
    first = verifier.verify(bearer)
    first.claims["permissions"].append("customers:delete")
    first.claims["attestation"]["method"] = "by word of honour"
    first.claims["attestation"]["selectors"].clear()
    with pytest.raises(FrozenInstanceError):
        first.permissions = frozenset({"customers:delete"})  # type: ignore[misc] # this is the point
    second = verifier.verify(bearer)
    assert second.claims == first.claims == claims()
    assert second.permissions == {"customers:read", "tickets:write"}
    assert second.attestation.method == "kubernetes"
