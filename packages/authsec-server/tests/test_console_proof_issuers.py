"""The trusted issuer of a proof, as it is chosen in the forms that ask for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pages import Page, get, selector_rows
from starlette.testclient import TestClient
from workload_evidence import kubernetes

API = "/authsec/api/v1"
ONBOARD = "/console/clients/onboard"
SEEN = selector_rows("kubernetes", ("k8s:ns", "production"))
NONE = "Can't authenticate yet: no trusted issuer"


@pytest.fixture
def door(house: Callable[..., Any]) -> TestClient:
    """The browser of whoever sits at the authority's machine."""
    opened: TestClient = house(local_operator=True).door()
    return opened


def register(door: TestClient, name: str) -> str:
    body = {"name": name, "kind": "kubernetes", "issuer": f"https://{name}.example", "keys_from": "given"}
    answer = door.post(f"{API}/issuers", json=body | {"given_keys": kubernetes().jwks})
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["id"]
    return id_


def proofs(door: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = door.get(f"{API}/clients/pod").json()["proofs"]
    return found


def fill(door: TestClient, **what: Any) -> Page:
    return get(door, ONBOARD).form(ONBOARD).send(**({"name": "Pod", "platform": "kubernetes"} | SEEN | what))


def test_without_any_there_is_nothing_to_choose(door: TestClient) -> None:
    page = get(door, ONBOARD)
    assert "kubernetes-trusted-issuer" not in page.html
    assert page.text.count(NONE) == 5  # for each platform with selectors


def test_the_only_one_is_taken_and_the_page_says_how_it_proves(door: TestClient) -> None:
    id_ = register(door, "prod")
    page = get(door, ONBOARD)
    assert page.text.count(NONE) == 4
    assert "prod (Kubernetes cluster) can prove the client" in page.text
    page = fill(door).follow()
    assert "How it is proved" in page.text
    assert "proved by the token" in page.text
    assert proofs(door)[0]["trusted_issuer"]["id"] == id_


def test_of_several_one_is_chosen(door: TestClient) -> None:
    register(door, "prod")
    id_ = register(door, "staging")
    page = fill(door)
    assert "2 trusted issuers can prove these selectors" in page.text
    assert 'id="field-trusted_issuer"' in page.html
    page.form(ONBOARD).send(**{"kubernetes-trusted-issuer": id_}).follow()
    assert proofs(door)[0]["trusted_issuer"]["id"] == id_


def test_what_was_chosen_stays_chosen_where_something_else_is_wrong(door: TestClient) -> None:
    register(door, "prod")
    id_ = register(door, "staging")
    page = fill(
        door, **selector_rows("kubernetes", ("k8s:pod-label:app", "production")), **{"kubernetes-trusted-issuer": id_}
    )
    assert "is not set up to prove k8s:pod-label:app" in page.text
    assert f'value="{id_}" selected' in page.html


def test_a_further_proof_has_a_trusted_issuer_of_its_own(door: TestClient) -> None:
    register(door, "prod")
    fill(door).follow()
    id_ = register(door, "staging")
    client_id = door.get(f"{API}/clients/pod").json()["client_id"]
    path = f"/console/clients/{client_id}/proofs/add"
    get(door, path).form(path).send(platform="kubernetes", **SEEN, **{"kubernetes-trusted-issuer": id_}).follow()
    assert sorted(each["trusted_issuer"]["slug"] for each in proofs(door)) == ["prod", "staging"]
