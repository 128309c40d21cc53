"""Who else a proof's selectors would let in: said, and nothing is refused for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.clients.model import Selector
from authsec_server.clients.proof_status import breadth
from pages import get, selector_rows
from workload_evidence import kubernetes

API, ONBOARD = "/authsec/api/v1", "/console/clients/onboard"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("k8s:ns", "Every pod of namespace a could act as this agent: add k8s:sa."),
        ("k8s:ns k8s:pod-label:app", "of namespace a with matching values could act as this agent: add k8s:sa."),
        ("k8s:pod-label:app", "Every pod of the cluster with matching values could act as this agent: add k8s:ns and"),
        ("k8s:sa", "A service account a in any namespace could act as this agent: add k8s:ns."),
        ("k8s:ns k8s:sa", ""),
        ("k8s:pod-uid", ""),
        ("github:ref github:environment", "Jobs of any repository at the trusted issuer could act as this agent"),
        ("github:job_workflow_ref", "Jobs of any repository"),  # anybody may call a reusable workflow
        ("github:ref github:repository", ""),
        ("gitlab:ref", "add gitlab:project_id"),
        ("oidc:sub github:ref", ""),
        ("spiffe:id", ""),
        ("docker:label:app", ""),
    ],
)
def test_who_else_would_be_the_agent(keys: str, said: str) -> None:
    told = breadth([Selector(key=key, value="a") for key in keys.split()])
    assert said in told
    assert bool(said) is bool(told)


def test_the_console_says_so_in_amber(house: Callable[..., Any]) -> None:
    door = house(local_operator=True).door()
    trusted_issuer = {
        "name": "Cluster",
        "kind": "kubernetes",
        "issuer": "https://cluster.example",
        "keys_from": "given",
    }
    assert door.post(f"{API}/issuers", json=trusted_issuer | {"given_keys": kubernetes().jwks}).status_code == 201
    said = "Every pod of namespace staging could act as this agent: add k8s:sa."
    wide = {"platform": "kubernetes", **selector_rows("kubernetes", ("k8s:ns", "staging"))}
    form = get(door, ONBOARD).form(ONBOARD)
    typed = form.send(name="", **wide)
    assert said in typed.text
    assert "Cluster (Kubernetes cluster) proves the client, and others can match" in typed.text
    page = get(door, ONBOARD).form(ONBOARD).send(name="Wide", **wide).follow()
    assert said in page.text
    narrow = selector_rows("kubernetes", ("k8s:ns", "staging"), ("k8s:sa", "support"))
    assert "could act as this agent" not in form.send(name="", **(wide | narrow)).text
