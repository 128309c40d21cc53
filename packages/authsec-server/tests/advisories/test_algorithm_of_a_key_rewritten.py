"""A row in the database says that a key is for another algorithm.

Whoever can write to the database, and not read the master key, could have an RSA key sign tokens that claim ES256, or
publish the key under another `alg`. Here the private part decides: it is sealed, and its kind shows the algorithm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import parse_compact
from sqlalchemy import text

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
JWKS = "/.well-known/jwks.json"
REWRITE = "UPDATE signing_keys SET public_jwk = '{\"kty\": \"%s\"}' WHERE kid = '%s'"


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    """An authority with an API for ES256."""
    opened = house(local_operator=True)
    body = {"name": "CRM", "identifier": "crm-api", "signing_algorithm": "ES256"}
    assert opened.door().post("/authsec/api/v1/apis", json=body).status_code == 201
    return opened


def active(its: House) -> dict[str, str]:
    items = its.door().get("/authsec/api/v1/keys").json()["items"]
    return {key["algorithm"]: key["kid"] for key in items if key["state"] == "active"}


def rewrite(its: House, kid: str, kind: str) -> None:
    """As raw SQL does; the change of authority makes each server read the rows anew."""
    its.authority.database.append(lambda tx: tx.connection.execute(text(REWRITE % (kind, kid))))
    its.authority.database.change(lambda _: None)


@pytest.mark.parametrize(("algorithm", "kind"), [("RS256", "EC"), ("ES256", "RSA"), ("RS256", "OKP")])
def test_no_key_signs_or_is_published_for_what_its_row_says(its: House, algorithm: str, kind: str) -> None:
    client = its.delegated_name(audiences=("crm-api", "authsec-api"))
    before = {key["kid"]: key["alg"] for key in its.door().get(JWKS).json()["keys"]}
    rewrite(its, active(its)[algorithm], kind)
    assert {key["kid"]: key["alg"] for key in its.door().get(JWKS).json()["keys"]} == before
    statuses = []
    for resource in ("crm-api", "authsec-api"):
        answer = its.door().get(ENDPOINT, params={"client_id": client, "resource": resource})
        statuses.append(answer.status_code)
        if answer.status_code == 200:
            header = parse_compact(answer.json()["token"]).header
            assert before[header["kid"]] == header["alg"]
    assert 503 in statuses
