"""Trusted issuers over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from issuers import ONE, TWO, Issuer
from starlette.testclient import TestClient

House = Any
PATH = "/authsec/api/v1/issuers"
NEW = {"name": "CI", "kind": "oidc", "issuer": "https://ci.example.com", "keys_from": "discovery", "preset": "gitlab"}


def jwks(*keys: Any) -> dict[str, Any]:
    return {"keys": [{**key.public.to_jwk(), "kid": f"key {number}"} for number, key in enumerate(keys, 1)]}


@pytest.fixture
def issuer(peers: Any, peer: Callable[..., Any]) -> Issuer:
    return Issuer(peers, peer)


def make(admin: TestClient, **what: Any) -> dict[str, Any]:
    answer = admin.post(PATH, json={**NEW, **what})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_a_trusted_issuer_as_the_admin_api_shows_it(admin: TestClient) -> None:
    answer = admin.post(PATH, json={**NEW, "slug": "builds", "claims": {"ci:team": "team"}})
    assert answer.status_code == 201, answer.text
    trusted_issuer = answer.json()
    assert answer.headers["Location"] == f"{PATH}/{trusted_issuer['id']}"
    assert (trusted_issuer["slug"], trusted_issuer["kind"], trusted_issuer["issuer"]) == (
        "builds",
        "oidc",
        "https://ci.example.com",
    )
    assert (
        trusted_issuer["keys_from"],
        trusted_issuer["keys_url"],
        trusted_issuer["given_keys"],
        trusted_issuer["ca"],
    ) == (
        "discovery",
        None,
        None,
        None,
    )
    assert (trusted_issuer["audience"], trusted_issuer["token_audience"]) == (None, "http://127.0.0.1:7468")
    assert trusted_issuer["claims"]["ci:team"] == "team"
    assert trusted_issuer["proves"] == sorted(trusted_issuer["claims"])
    assert (trusted_issuer["enabled"], trusted_issuer["revision"], trusted_issuer["changed_at"]) == (True, 1, None)
    assert admin.get(f"{PATH}/builds").json() == admin.get(f"{PATH}/{trusted_issuer['id']}").json() == trusted_issuer
    assert admin.get(PATH).json() == {"items": [trusted_issuer], "next": None}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kind": "vault"}, "kind"),
    ({"issuer": "http://ci.example.com"}, "issuer"),
    ({"preset": "", "claims": {}}, "claims"),
    ({"claims": {"k8s:ns": "ns"}}, "claims"),
    ({"claims": {"ci:x": 1}}, "claims.ci:x"),
    ({"keys_from": "given", "given_keys": {"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}}, "given_keys"),
    ({"trusted": True}, "trusted"),
]


def test_what_is_refused_is_named(admin: TestClient) -> None:
    for what, field in REFUSED:
        answer = admin.post(PATH, json={**NEW, **what})
        assert (answer.status_code, answer.json()["field"]) == (400, field), what
        assert "c2VjcmV0" not in answer.text
    assert admin.get(PATH).json()["items"] == []


def test_an_issuer_that_cannot_be_shared_is_a_conflict(admin: TestClient) -> None:
    make(admin)
    answer = admin.post(PATH, json={**NEW, "slug": "other"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "conflict")
    assert "'CI' (ci)" in answer.json()["error"]


def test_an_edit_names_the_revision_that_was_read(admin: TestClient) -> None:
    make(admin)
    one = {"If-Match": '"1"'}
    edited = admin.patch(f"{PATH}/ci", json={"audience": "us"}, headers=one)
    assert (edited.status_code, edited.json()["audience"], edited.json()["token_audience"]) == (200, "us", "us")
    assert edited.json()["revision"] == 2
    late = admin.patch(f"{PATH}/ci", json={"name": "Mine"}, headers=one)
    assert (late.status_code, late.json()["reason"]) == (412, "outdated")
    assert (late.json()["changed_fields"], late.headers["ETag"][:2]) == (["audience"], '"2')
    assert admin.get(f"{PATH}/ci").json() == edited.json()


def test_it_is_turned_off_and_on(admin: TestClient) -> None:
    make(admin)
    assert admin.post(f"{PATH}/ci/disable").json()["enabled"] is False
    assert admin.get(f"{PATH}/ci").json()["enabled"] is False
    assert admin.post(f"{PATH}/ci/enable").json()["enabled"] is True
    assert admin.post(f"{PATH}/nobody/disable").status_code == 404
    assert admin.put(f"{PATH}/ci").status_code == 405


def test_its_keys_are_fetched_when_asked_and_shown(admin: TestClient, issuer: Issuer) -> None:
    make(admin, keys_from="url", keys_url=issuer.url + "/jwks")
    assert admin.get(f"{PATH}/ci/keys").json() == {
        "condition": "none",
        "keys": [],
        "fetched_at": None,
        "fresh_until": None,
        "usable_until": None,
        "failed_at": None,
        "failure": None,
    }
    failed = admin.post(f"{PATH}/ci/refresh").json()
    assert "AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS" in failed["failure"]
    assert issuer.asked == []


def test_fetched_keys_are_shown_with_what_they_are_for(house: Callable[..., House], issuer: Issuer) -> None:
    admin = house(local_operator=True, outbound_private_hosts="127.0.0.1").door()
    make(admin, issuer=issuer.url)
    answer = admin.post(f"{PATH}/ci/refresh")
    assert (answer.status_code, answer.json()["condition"], answer.json()["failure"]) == (200, "fresh", None)
    assert answer.json()["keys"] == [
        {"kid": "one", "kty": "EC", "algorithms": ["ES256"], "thumbprint": ONE.public.thumbprint()}
    ]
    assert answer.json()["fetched_at"] == "2026-11-25T12:00:00Z"
    assert answer.json()["fresh_until"] == "2026-11-25T13:00:00Z"
    assert answer.json()["usable_until"] == "2026-11-26T12:00:00Z"
    assert admin.get(f"{PATH}/ci/keys").json() == answer.json()


def test_given_keys_are_shown_without_anything_being_fetched(admin: TestClient) -> None:
    trusted_issuer = make(admin, keys_from="given", given_keys=jwks(ONE, TWO))
    assert len(trusted_issuer["given_keys"]["keys"]) == 2
    for answer in (admin.get(f"{PATH}/ci/keys"), admin.post(f"{PATH}/ci/refresh")):
        assert answer.json()["condition"] == "given"
        assert [key["kid"] for key in answer.json()["keys"]] == ["key 1", "key 2"]


def test_who_may_only_look_changes_nothing_and_has_nothing_fetched(house: Callable[..., House], issuer: Issuer) -> None:
    its = house(local_operator=True, outbound_private_hosts="127.0.0.1")
    make(its.door(), issuer=issuer.url)
    key = its.door().post("/authsec/api/v1/admin-keys", json={"name": "Ops", "role": "operator"}).json()["key"]
    door = house(outbound_private_hosts="127.0.0.1").door(authorization=f"Bearer {key}")
    assert door.get(f"{PATH}/ci").status_code == door.get(f"{PATH}/ci/keys").status_code == 200
    changes: list[tuple[str, dict[str, Any]]] = [
        (PATH, {**NEW, "slug": "x"}),
        (f"{PATH}/ci/disable", {}),
        (f"{PATH}/ci/enable", {}),
        (f"{PATH}/ci/refresh", {}),
    ]
    for path, body in changes:
        assert door.post(path, json=body).status_code == 403, path
    assert door.patch(f"{PATH}/ci", json={"name": "x"}, headers={"If-Match": "*"}).status_code == 403
    assert door.delete(f"{PATH}/ci").status_code == 403
    assert issuer.asked == []
    assert house().door().get(f"{PATH}/ci").status_code == 401
