"""The page of trust sources, which says what there is: none yet, and what that means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.clients.selectors import KEYS
from pages import get
from starlette.testclient import TestClient

House = Any
PAGE = "/console/sources"


@pytest.fixture
def door(house: Callable[..., House]) -> TestClient:
    """The browser of the operator at whose machine the authority runs."""
    client: TestClient = house(local_operator=True).door()
    return client


def test_it_promises_nothing_that_is_not_there(door: TestClient) -> None:
    page = get(door, PAGE)
    assert "No trust sources yet" in page.text
    assert "This version cannot register any." in page.text
    assert "refused with attestation_required" in page.text
    assert "anybody who knows its Client ID gets its tokens" in page.text
    assert all(form.of_the_frame for form in page.forms)


def test_what_it_says_of_an_agent_on_kubernetes_is_so(door: TestClient) -> None:
    what = {"platform": "kubernetes", "selectors": [{"key": "k8s:ns", "value": "production"}]}
    client_id = door.post("/authsec/api/v1/clients", json={"name": "Pod", **what}).json()["client_id"]
    door.post("/authsec/api/v1/clients", json={"name": "Open", "platform": "unattested"})
    refused = door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": client_id})
    assert refused.json()["reason"] == "attestation_required"
    listed = get(door, get(door, PAGE).links["Agents that cannot prove themselves"])
    assert "Pod" in listed.links
    assert "Open" not in listed.links


def test_every_selector_is_explained(door: TestClient) -> None:
    page = get(door, PAGE)
    for keys in KEYS.values():
        for key in keys:
            assert f"{key.shown} {key.identifies}" in page.text
