"""What a form says will become of selectors while they are typed: the same as becomes of them when they are sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from authsec_server.clients.model import Platform, Selector
from authsec_server.clients.proof_status import PreviewState, preview_proof
from pages import get, post, selector_rows
from starlette.testclient import TestClient
from workload_evidence import EC, kubernetes, spire

API, ONBOARD, CHECK = "/authsec/api/v1", "/console/clients/onboard", "/console/clients/selectors"
OURS = "authsec.internal"
CLUSTER, OUR_SPIRE, FOREIGN = (
    kubernetes().trusted_issuer,
    spire("ours", issuer=OURS).trusted_issuer,
    spire("foreign").trusted_issuer,
)
LOOKING = replace(
    kubernetes("looking").trusted_issuer, api_server="https://k8s.example", credentials="k8s", pod_lookup=True
)
NS = Selector(key="k8s:ns", value="production")
LABEL = Selector(key="k8s:pod-label:app", value="support")
CONTAINER = Selector(key="k8s:container-name", value="agent")
TYPED = [("k8s:ns", "production"), ("k8s:pod-label:app", "support"), ("k8s:container-name", "agent")]


@pytest.mark.parametrize(
    ("trusted_issuer", "state", "shown"),
    [
        (
            CLUSTER,
            PreviewState.REFUSED,
            [
                "proved by the token",
                "cannot be proved by this trusted issuer",
                "cannot be proved by this trusted issuer",
            ],
        ),
        (
            LOOKING,
            PreviewState.PROVED,
            ["proved by the token", "proved by look-up", "by look-up: the pod has such a container"],
        ),
        (OUR_SPIRE, PreviewState.PROVED, ["enforced by SPIRE"] * 3),
        (FOREIGN, PreviewState.NO_ISSUER, ["no trusted issuer"] * 3),
    ],
    ids=["offline", "look-ups", "SPIRE", "another trust domain"],
)
def test_each_selector_says_how_the_only_trusted_issuer_proves_it(
    trusted_issuer: Any, state: PreviewState, shown: list[str]
) -> None:
    seen = preview_proof(Platform.KUBERNETES, [NS, LABEL, CONTAINER], [trusted_issuer], trust_domain=OURS)
    assert (seen.state, [each.shown for each in seen.selectors]) == (state, shown)
    if state is PreviewState.REFUSED:
        assert "is not set up to prove k8s:pod-label:app and k8s:container-name" in seen.problem
        assert seen.remedy


def test_before_anything_is_typed() -> None:
    def state(*registered: Any) -> tuple[PreviewState, Any]:
        seen = preview_proof(Platform.KUBERNETES, [], registered, trust_domain=OURS)
        assert not seen.problem
        return seen.state, seen.trusted_issuer

    assert state() == state(FOREIGN) == (PreviewState.NO_ISSUER, None)
    assert state(CLUSTER, FOREIGN) == (PreviewState.PROVED, CLUSTER)
    assert state(CLUSTER, OUR_SPIRE) == (PreviewState.CHOICE, None), (
        "nobody is blamed before there is anything to choose"
    )


def test_the_one_that_is_named_counts() -> None:
    def named(trusted_issuer: str) -> Any:
        return preview_proof(
            Platform.KUBERNETES, [LABEL], [CLUSTER, OUR_SPIRE, FOREIGN], named=trusted_issuer, trust_domain=OURS
        )

    assert (named("ours").state, named("ours").trusted_issuer) == (PreviewState.PROVED, OUR_SPIRE)
    assert named(CLUSTER.id).state is named("foreign").state is named("gone").state is PreviewState.REFUSED
    assert not named("foreign").selectors, "it knows no such workload, so it proves nothing of it"


@pytest.fixture
def door(house: Callable[..., Any]) -> TestClient:
    """The browser of whoever sits at the authority's machine."""
    opened: TestClient = house(local_operator=True).door()
    return opened


def register(door: TestClient, issuer: Any, name: str) -> str:
    body = {
        "name": name,
        "kind": issuer.trusted_issuer.kind,
        "issuer": issuer.trusted_issuer.issuer,
        "keys_from": "given",
    }
    answer = door.post(f"{API}/issuers", json=body | {"given_keys": issuer.jwks})
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["id"]
    return id_


def typing(door: TestClient, *rows: tuple[str, str], trusted_issuer: str = "") -> Any:
    pairs = [pair for key, value in rows for pair in (("key", key), ("value", value))]
    return json.loads(post(door, CHECK, [("platform", "kubernetes"), ("trusted_issuer", trusted_issuer), *pairs]).html)


def send(door: TestClient, *rows: tuple[str, str], trusted_issuer: str = "") -> Any:
    halves = selector_rows("kubernetes", *rows)
    more = {"kubernetes-trusted-issuer": trusted_issuer} if trusted_issuer else {}
    return get(door, ONBOARD).form(ONBOARD).send(name="Pod", platform="kubernetes", **halves, **more)


def test_what_is_said_while_typing_is_what_becomes_of_it(door: TestClient) -> None:
    waits = typing(door, *TYPED)
    assert "Can&#39;t authenticate yet: no trusted issuer" in waits["verdict"]
    assert [each["tone"] for each in waits["rows"]] == ["hint warn-text"] * 3

    cluster = register(door, kubernetes(), "Production")
    never = typing(door, *TYPED)
    assert [each["wrong"] for each in never["rows"]] == [False, True, True]
    assert never["rows"][0]["text"] == "✓ the pod's namespace · proved by the token"
    assert "These values would be refused" in never["outlook"]
    assert "These values would be refused" in never["verdict"]
    sent = send(door, *TYPED)
    assert sent.status == 400
    assert "✗ the value of a label of the pod · cannot be proved by this trusted issuer" in sent.text
    assert sent.text.count("These values would be refused") == 2  # in one of the sections: why, and beside the button

    register(door, spire(key=EC, issuer=OURS), "Our SPIRE")
    choice = typing(door, TYPED[0])
    assert "2 trusted issuers can prove these selectors" in choice["outlook"]
    assert "2 trusted issuers can prove" in send(door, TYPED[0]).text
    named = typing(door, TYPED[0], trusted_issuer=cluster)
    assert "Production (Kubernetes cluster) proves the client" in named["verdict"]
    only_spire = typing(door, *TYPED)
    assert "Our SPIRE (SPIFFE trust domain) proves the client" in only_spire["verdict"]
    assert {each["text"].partition(" · ")[2] for each in only_spire["rows"]} == {"enforced by SPIRE"}
    assert "enforced by SPIRE" in send(door, *TYPED).follow().text


def test_without_script_another_row_shows_it_as_well(door: TestClient) -> None:
    register(door, kubernetes(), "Production")
    page = send(door, *TYPED[:2]).form(ONBOARD).send(add="kubernetes")
    assert "✓ the pod's namespace · proved by the token" in page.text
    assert "These values would be refused" in page.text


def test_a_disabled_trusted_issuer_is_said_to_be_disabled(door: TestClient) -> None:
    door.post(f"{API}/issuers/{register(door, kubernetes(), 'Production')}/disable")
    told = typing(door, TYPED[0])["verdict"]
    assert "Can&#39;t authenticate yet: Production (Kubernetes cluster) is disabled" in told
    assert "The trusted issuer Production is disabled, so it proves nothing." in send(door, TYPED[0]).follow().text
