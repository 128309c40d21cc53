"""A token that is bound to a key (`cnf`, RFC 7800) is stolen and used as a bearer token.

An API that does not know bindings would accept it from anybody, and nobody would notice that the binding is not
checked. Until this verifier can check who holds the key, such a token does not pass.
"""

from __future__ import annotations

from typing import Any

import pytest

from ..fake_keys import reason_of, token, verifier_of


@pytest.mark.parametrize("cnf", [{"jkt": "abc"}, {"x5t#S256": "abc"}, {"jwk": {}}, {}, "abc", False])
def test_a_bound_token_is_no_bearer_token(cnf: Any) -> None:
    assert reason_of(verifier_of(), token(cnf=cnf)) == "binding_not_supported"
