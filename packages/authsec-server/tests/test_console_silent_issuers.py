"""A trusted issuer that cannot tell at present: seen wherever somebody wonders why an agent gets no token."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer
from laptops import pod_of
from pages import get, post
from trusted_issuers import agent, shows, trust
from workload_evidence import kubernetes

API = "/authsec/api/v1"
SELECTORS = (("k8s:ns", "production"), ("k8s:sa", "customer-support-sa"))


@pytest.fixture
def server(peers: Any, peer: Callable[..., Any], tmp_path: Path) -> ApiServer:
    (tmp_path / "credentials").mkdir()
    return ApiServer(peers, peer, tmp_path / "credentials")


def typed(door: Any, trusted_issuer_id: str) -> dict[str, str]:
    """What the form says of these selectors while they are typed."""
    rows = [pair for key, value in SELECTORS for pair in (("key", key), ("value", value))]
    sent = [("platform", "kubernetes"), ("trusted_issuer", trusted_issuer_id), *rows]
    told: dict[str, str] = json.loads(post(door, "/console/clients/selectors", sent).html)
    return told


def test_a_cluster_that_cannot_be_asked_shows_where_it_matters(house: Callable[..., Any], server: ApiServer) -> None:
    its, issuer = house(local_operator=True, **server.settings), kubernetes("production")
    trust(its, issuer, may_look_up=True, **server.asked_for())
    door, client_id = its.door(), agent(its, issuer, *SELECTORS)
    pages = ("/console", f"/console/clients/{client_id}", f"/console/clients/{client_id}/test")
    said = "production does not answer look-ups"
    assert shows(its, client_id, issuer.token(), door=door).status_code == 200
    assert not any(said in get(door, page).text for page in pages)
    assert "production (Kubernetes cluster) proves the client" in typed(door, issuer.trusted_issuer.id)["verdict"]
    its.clock.at += timedelta(minutes=1)
    server.fails = "403 Forbidden"
    assert shows(its, client_id, issuer.token(), door=door).status_code == 503
    assert all(said in get(door, page).text for page in pages)
    board = get(door, pages[0])
    assert board.links[f"{said}: 1 client that depends on it gets 503"] == "/console/issuers/production"
    assert "This server reports: https://" in board.text
    assert "may not create tokenreviews" in board.text
    told = typed(door, issuer.trusted_issuer.id)
    assert said in told["outlook"]
    assert "warn-text" in told["verdict"]
    assert said in told["verdict"]


def test_a_cluster_that_does_not_answer_yet_is_known_as_soon_as_it_is_used(
    house: Callable[..., Any], server: ApiServer
) -> None:
    its, issuer = house(local_operator=True, **server.settings), kubernetes("production")
    door, home = its.door(), f"/console/clients/{pod_of(its)}"
    trust(its, issuer, may_look_up=True, **server.asked_for())
    server.fails = "403 Forbidden"
    (bind,) = [each for each in get(door, home).forms if each.action.endswith("/bind")]
    page = bind.send().follow()
    assert "production does not answer look-ups This server reports just now : https://" in page.text
    assert "Can't authenticate" in page.text
    assert "Proof next step: Unavailable" in page.text
    assert "Proved by a trusted issuer" not in page.text
    assert "does not answer" in page.form(f"{home}/check").send().follow().text
    server.fails = ""
    assert "Next: get the first token" in page.form(f"{home}/check").send().follow().text


def test_keys_that_cannot_be_had_show_too_and_only_where_somebody_rests_on_them(house: Callable[..., Any]) -> None:
    its, issuer = house(local_operator=True), kubernetes("production")
    trust(its, issuer, keys_from="url", keys_url="https://127.0.0.1:1/jwks", given_keys=None)
    door, said = its.door(), "The keys of production are unavailable"
    assert said not in get(door, "/console").text, "nobody has asked yet"
    client_id = agent(its, issuer, *SELECTORS)
    other = its.delegated_agent().client_id
    assert shows(its, client_id, issuer.token(), door=door).status_code == 503
    assert f"{said}: 1 client that depends on it gets 503" in get(door, "/console").text
    assert said in get(door, f"/console/clients/{client_id}").text
    assert said not in get(door, f"/console/clients/{other}").text


@pytest.mark.soak
def test_a_client_of_an_unavailable_issuer_is_green_on_no_page(house: Callable[..., Any]) -> None:
    its, issuer = house(local_operator=True), kubernetes("production")
    trust(its, issuer, keys_from="url", keys_url="https://127.0.0.1:1/jwks", given_keys=None)
    door, client_id = its.door(), agent(its, issuer, *SELECTORS)
    home = f"/console/clients/{client_id}"
    (delegation,) = door.get(f"{API}/delegations?client={client_id}").json()["items"]
    pages = [home, f"{home}/connect", f"{home}/test", "/console/clients", "/console/delegations", "/console/picture"]
    pages += [f"/console/delegations/{delegation['id']}", f"/console/roles/{delegation['role']['slug']}", "/console"]
    ready = '<span class="badge good" title="The client can get tokens.">Ready</span>'
    assert all(ready in get(door, page).html for page in pages)
    assert shows(its, client_id, issuer.token(), door=door).status_code == 503
    unable = '<span class="badge warn" title="The keys of production are unavailable.">Can&#39;t authenticate</span>'
    for page in pages:
        seen = get(door, page).html
        assert (ready in seen, unable in seen) == (False, True), page


def test_a_look_up_of_pods_that_fails_concerns_those_who_need_it(house: Callable[..., Any], server: ApiServer) -> None:
    its, issuer = house(local_operator=True, **server.settings), kubernetes("production")
    trust(its, issuer, may_look_up=True, **server.asked_for(token_review=False))
    door, server.fails = its.door(), "403 Forbidden"
    agent(its, issuer, *SELECTORS, name="Other")
    client_id = agent(its, issuer, *SELECTORS, ("k8s:pod-label:app", "customer-support"))
    assert shows(its, client_id, issuer.token(), door=door).status_code == 503
    said = "2 clients that depend on it get 503 if a pod look-up is needed"
    assert f"production does not answer look-ups: {said}" in get(door, "/console").text
    assert "whose selectors need a pod look-up" in get(door, f"/console/clients/{client_id}").text
