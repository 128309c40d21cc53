"""SVIDs with `iss` broke the login elsewhere, since only those without had been tested; SPIRE can make either.

And SPIRE hands out one SVID again and again: a rule against using a `jti` twice would lock the workload out.
"""

from __future__ import annotations

from typing import Any

import pytest
from attesting import ask, proof, proved
from trusted_issuers import agent, shows, trust
from workload_evidence import spire


@pytest.mark.parametrize("iss", [None, "https://oidc-discovery.example.org", "example.org", "", 7])
@pytest.mark.parametrize("more", [{}, {"jti": "one"}, {"iat": None}, {"extra": {"a": [1]}}], ids=str)
def test_with_and_without(iss: Any, more: dict[str, Any]) -> None:
    its = spire()
    assert proved(ask(its.token(iss=iss, **more), [its], proof(its, ("spiffe:id", its.claims()["sub"]))))


@pytest.mark.parametrize("typ", [None, "JWT", "JOSE"])
def test_each_type_that_an_svid_may_have(typ: str | None) -> None:
    its = spire()
    assert proved(ask(its.token(header={"typ": typ}), [its], proof(its, ("spiffe:id", its.claims()["sub"]))))


def test_the_same_svid_again(house: Any) -> None:
    its = house()
    issuer = spire()
    trust(its, issuer)
    client_id = agent(its, issuer, ("spiffe:id", issuer.claims()["sub"]))
    token = issuer.token(iss="https://oidc-discovery.example.org", jti="one")
    assert [shows(its, client_id, token).status_code for _ in range(3)] == [200, 200, 200]
