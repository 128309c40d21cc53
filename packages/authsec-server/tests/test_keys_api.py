"""The signing keys over HTTP: what verifiers find, and what administrators may do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec.jose import PublicKey
from authsec_server.keys.api import METADATA_PATHS, PREFIXES
from authsec_server.tokens.request import PATH as TOKEN_PATH

KEYS = "/authsec/api/v1/keys"
JWKS = "/.well-known/jwks.json"
ISSUER = "http://127.0.0.1:7468"

House = Any


@pytest.fixture
def opened(house: Callable[..., House]) -> House:
    """An authority whose every request is the local operator's."""
    return house(local_operator=True)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_published_set(opened: House, prefix: str) -> None:
    answer = opened.door().get(prefix + JWKS)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=240"
    assert answer.headers["Content-Type"] == "application/json"
    keys = answer.json()["keys"]
    assert len(keys) == 2
    for key in keys:
        assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
        assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
        assert PublicKey.from_jwk(key).thumbprint() == key["kid"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", METADATA_PATHS)
def test_what_can_be_learned_from_the_issuer_alone(opened: House, prefix: str, path: str) -> None:
    answer = opened.door().get(prefix + path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=240"
    document = answer.json()
    assert document["issuer"] == ISSUER
    assert document["jwks_uri"] == ISSUER + JWKS
    assert document["delegation_token_endpoint"] == ISSUER + TOKEN_PATH
    assert document["authorization_endpoint"] == ISSUER + "/oauth/authorize"
    assert document["token_endpoint"] == ISSUER + "/oauth/token"
    assert document["response_types_supported"] == ["none"]
    methods = ["private_key_jwt", "client_secret_basic", "client_secret_post"]
    assert document["token_endpoint_auth_methods_supported"] == methods
    assert {"RS256", "ES256", "EdDSA"} <= set(document["token_endpoint_auth_signing_alg_values_supported"])
    assert document["grant_types_supported"] == ["client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert [] not in document.values(), "RFC 8414 section 3.2"


def test_only_reading_is_possible(opened: House) -> None:
    for path in (JWKS, *METADATA_PATHS):
        assert opened.door().post(path).status_code == 405
        assert opened.door().head(path).status_code == 200


def test_the_list(opened: House) -> None:
    answer = opened.door().get(KEYS).json()
    assert answer["next"] is None
    assert sorted(key["state"] for key in answer["items"]) == ["active", "prepared"]
    active = next(key for key in answer["items"] if key["state"] == "active")
    assert active == {
        "kid": active["kid"],
        "algorithm": "RS256",
        "state": "active",
        "created_at": "2026-11-25T12:00:00Z",
        "activated_at": "2026-11-25T12:00:00Z",
        "retired_at": None,
        "publish_until": None,
    }


def test_rotation(opened: House) -> None:
    door = opened.door()
    before = {key["state"]: key["kid"] for key in door.get(KEYS).json()["items"]}
    early = door.post(KEYS + "/rotate", json={"force": False})
    assert (early.status_code, early.json()["reason"]) == (409, "conflict")
    assert early.json()["details"].startswith("Rotate in 300 seconds")

    opened.clock.at += timedelta(minutes=5)
    rotated = door.post(KEYS + "/rotate")
    assert rotated.status_code == 200
    assert (rotated.json()["kid"], rotated.json()["state"]) == (before["prepared"], "active")
    after = {key["kid"]: key for key in door.get(KEYS).json()["items"]}
    assert after[before["active"]]["state"] == "retired"
    assert after[before["active"]]["publish_until"] == "2026-12-02T13:05:00Z"
    assert {key["kid"] for key in door.get(JWKS).json()["keys"]} == set(after)

    assert door.post(KEYS + "/rotate", json={"force": True}).status_code == 200


def test_a_body_that_is_not_one(opened: House) -> None:
    for body in (b'{"force": "yes"}', b'{"force": 1}', b'{"hard": true}', b'{"now": 1}', b"{", b"[]"):
        assert opened.door().post(KEYS + "/rotate", content=body).status_code == 400, body


def test_keys_are_for_administrators_and_published_for_everybody(house: Callable[..., House]) -> None:
    stranger = house().door("198.51.100.7")
    assert stranger.get(KEYS).status_code == 401
    assert stranger.post(KEYS + "/rotate", json={"force": True}).status_code == 401
    assert stranger.get(JWKS).status_code == 200
