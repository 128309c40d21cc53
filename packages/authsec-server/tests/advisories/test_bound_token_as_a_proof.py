"""A sender-constrained token lost its binding: whoever copied it showed it as a bearer token, and was let in.

A token with `cnf` (RFC 7800) proves nothing by itself: its holder has to show the key as well, by DPoP, over TLS or as
a WIMSE workload does. Nobody asks for that here, so such a token is no proof here, whoever's it is.
"""

from __future__ import annotations

from typing import Any

import pytest
from attesting import SHOWN
from jose_doors import MAKERS
from trusted_issuers import agent, shows, trust
from workload_evidence import RSA


@pytest.mark.parametrize("kind", MAKERS)
def test_a_token_that_is_bound_to_a_key(house: Any, kind: str) -> None:
    its, issuer = house(), MAKERS[kind]()
    trust(its, issuer)
    client_id = agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind])
    assert shows(its, client_id, issuer.token()).status_code == 200
    for binding in ({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {"jwk": RSA.public.to_jwk()}, {}, ""):
        answer = shows(its, client_id, issuer.token(cnf=binding))
        assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_invalid")
        assert "(`cnf`)" in answer.json()["details"]
