"""Trusted issuers in the console: registered, looked at, edited, bound to agents that wait, turned off and away."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import PrivateKey
from long_runs import some_rows_of
from pages import Page, get
from starlette.testclient import TestClient

PAGE, NEW, API = "/console/issuers", "/console/issuers/new", "/authsec/api/v1"
KEYS = json.dumps({"keys": [{**PrivateKey.generate_ec().public.to_jwk(), "kid": "one"}]})
CLUSTER = {"name": "Production", "issuer": "https://cluster.example.com", "keys_from": "given", "given_keys": KEYS}


@pytest.fixture
def door(house: Callable[..., Any]) -> TestClient:
    """The browser of the operator at whose machine the authority runs."""
    client: TestClient = house(local_operator=True).door()
    return client


def register(door: TestClient, kind: str = "kubernetes", **typed: str) -> Page:
    """The form of that kind, sent."""
    return get(door, f"{NEW}?kind={kind}").form(NEW).send(**(CLUSTER | typed))


def onboard(door: TestClient, name: str, *selectors: tuple[str, str]) -> Any:
    """An agent on Kubernetes."""
    what = {"platform": "kubernetes", "selectors": [{"key": key, "value": value} for key, value in selectors]}
    answer = door.post(f"{API}/clients", json={"name": name, **what})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_none_yet_says_what_that_means(door: TestClient) -> None:
    page = get(door, PAGE)
    assert "No trusted issuers yet" in page.text
    assert "refused with attestation_required" in page.text
    assert page.links["Add trusted issuer"] == NEW
    onboard(door, "Pod", ("k8s:ns", "production"))
    assert "Pod" in get(door, page.links["Agents that can't authenticate"]).links


def test_each_kind_says_what_it_proves_and_leads_to_its_form(door: TestClient) -> None:
    page = get(door, NEW)
    for kind in ("kubernetes", "spiffe", "oidc"):
        (link,) = [path for path in page.links.values() if path.endswith(f"?kind={kind}")]
        assert get(door, link).form(NEW).value("kind") == kind


def test_a_cluster_is_added_with_its_keys_and_shown(door: TestClient) -> None:
    page = register(door).follow()
    assert "The trusted issuer is added." in page.text
    assert "one EC ES256" in page.text
    assert "k8s:ns proved by the token" in page.text
    assert "k8s:pod-label" not in page.text.partition("Provable selectors")[2].partition("Pod labels")[0]
    assert 'audience: "http://127.0.0.1:7468" expirationSeconds: 3600' in page.text, "what a pod needs"
    assert "Production" in get(door, PAGE).links


def test_an_issuer_of_jobs_takes_the_claims_of_its_preset(door: TestClient) -> None:
    page = register(door, "oidc", name="Actions", issuer="https://ci.example.com", preset="github").follow()
    assert "github:repository_id proved by the token its claim repository_id" in page.text


def test_a_trust_domain_proves_spiffe_ids(door: TestClient) -> None:
    bundle = json.dumps({"keys": [{**json.loads(KEYS)["keys"][0], "use": "jwt-svid"}], "spiffe_sequence": 1})
    page = register(door, "spiffe", name="SPIRE", issuer="prod.example.com", given_keys=bundle).follow()
    assert "spiffe:id proved by the token" in page.text
    assert "unix:uid enforced by SPIRE" in page.text


PRIVATE = json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldA", "kid": "mine"}]})


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    some_rows_of(
        [
            ({"name": ""}, "name", "Name must not be empty"),
            ({"issuer": "cluster"}, "issuer", ""),
            ({"given_keys": ""}, "given_keys", "No keys were pasted."),
            ({"given_keys": "{"}, "given_keys", "These keys are not valid JSON"),
            ({"given_keys": "[]"}, "given_keys", "This is not a JWK Set."),
            ({"given_keys": PRIVATE}, "given_keys", ""),
            ({"keys_from": "url"}, "keys_url", ""),
            ({"keys_from": "url", "keys_url": "https://k.example.com", "ca": "none"}, "ca", ""),
        ],
        each=3,
    ),
)
def test_what_is_wrong_is_said_at_its_field(door: TestClient, typed: dict[str, str], field: str, said: str) -> None:
    page = register(door, **typed)
    assert page.status == 400
    problem = page.html.partition(f'id="field-{field}-problem">')[2].partition("</p>")[0]
    assert problem
    assert said in problem
    assert page.form(NEW).value("issuer") == typed.get("issuer", CLUSTER["issuer"]), "what was typed is kept"
    assert get(door, PAGE).links.get("Production") is None


@pytest.mark.parametrize(
    "pasted",
    [
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----",
        json.dumps({"kty": "OKP", "crv": "Ed25519", "x": "eA", "d": "c2VjcmV0"}),
        '{"keys": [{"kty": "OKP", "d": "c2VjcmV0"}]',
        json.dumps({"type": "service_account", "private_key": "c2VjcmV0"}),
    ],
    ids=["PEM", "a key by itself", "JSON without its end", "a service account's file"],
)
@pytest.mark.parametrize("field", ["given_keys", "ca"])
def test_a_private_key_is_named_one_and_not_shown_again(door: TestClient, pasted: str, field: str) -> None:
    page = register(door, **({"given_keys": pasted} if field == "given_keys" else {"keys_from": "url", "ca": pasted}))
    assert page.status == 400
    assert "c2VjcmV0" not in page.html
    if field == "given_keys":
        problem = page.html.partition('id="field-given_keys-problem">')[2].partition("</p>")[0]
        assert "This contains a PRIVATE key" in problem
        assert "Treat it as exposed, and replace it" in problem


def test_a_line_that_is_no_claim_is_quoted(door: TestClient) -> None:
    page = register(door, "oidc", preset="github", claims="ci:project")
    assert "ci:project" in page.html.partition('id="field-claims-problem">')[2].partition("</p>")[0]


@pytest.mark.parametrize(
    ("keys_from", "stored"),
    [
        ("given", {"keys_url": None, "ca": None}),
        ("url", {"keys_url": "https://k.example.com/keys", "given_keys": None}),
        ("discovery", {"keys_url": None, "given_keys": None}),
    ],
)
def test_values_of_hidden_fields_are_not_stored(door: TestClient, keys_from: str, stored: dict[str, Any]) -> None:
    """A person may fill in fields before choosing another source of keys, or before turning look-ups off."""
    hidden = {"api_server": "http://plain.example.com", "api_ca": "none", "credentials": "../token"}
    typed = hidden | {"keys_url": "https://k.example.com/keys", "ca": "" if keys_from != "given" else "none"}
    form = get(door, f"{NEW}?kind=kubernetes").form(NEW)
    assert form.send(**(CLUSTER | typed | {"keys_from": keys_from})).status == 303
    made = door.get(f"{API}/issuers/production").json()
    assert {name: made[name] for name in stored} == stored
    assert made["api_server"] is None


def test_an_edit_is_stored_and_the_second_editor_is_told(door: TestClient) -> None:
    register(door)
    first, second = (get(door, f"{PAGE}/production/edit") for _ in range(2))
    form = f"{PAGE}/production/edit"
    assert "Saved." in first.form(form).send(name="Production EU").follow().text
    page = second.form(form).send(issuer="https://other.example.com")
    assert page.status == 412
    assert "Now: Production EU" in page.text
    assert "Saved." in page.form(form).send().follow().text, "who has seen it may go on"
    revision = door.get(f"{API}/issuers/production").json()["revision"]
    assert "Saved." in get(door, form).form(form).send().follow().text
    assert door.get(f"{API}/issuers/production").json()["revision"] == revision + 1, "recorded without a change"


def test_an_agent_that_waits_says_for_what(door: TestClient) -> None:
    pod = onboard(door, "Pod", ("k8s:ns", "production"))["client_id"]
    labelled = onboard(door, "Labelled", ("k8s:pod-label:app", "support"), ("k8s:container-name", "agent"))["client_id"]
    assert "No trusted issuer can prove these selectors yet." in get(door, f"/console/clients/{pod}").text
    register(door)
    assert "Production can prove these selectors." in get(door, f"/console/clients/{pod}").text
    never = "Production can't prove k8s:pod-label:app and k8s:container-name without pod look-up."
    assert never in get(door, f"/console/clients/{labelled}").text


def test_agents_that_wait_are_bound_by_one_press(door: TestClient) -> None:
    made = onboard(door, "Pod", ("k8s:ns", "production"), ("k8s:sa", "support"))
    onboard(door, "Labelled", ("k8s:pod-label:app", "support"))
    page = register(door).follow()
    waiting = page.text.partition("Agents that wait for this trusted issuer")[2].partition("Agents with selectors")[0]
    assert "Pod: k8s:ns=production k8s:sa=support" in waiting
    assert "Labelled" not in waiting, "this trusted issuer could never prove that"
    chosen = [each["id"] for each in made["proofs"]]
    after = page.form(f"{PAGE}/production/bind").send(proof=chosen).follow()
    assert "The proofs are bound to this trusted issuer." in after.text
    assert "1 proof of 1 client. These clients have no other proof: Pod." in after.text
    assert "Agents that wait for this trusted issuer" not in after.text


@pytest.mark.parametrize(
    ("turn", "after"), [("disable", "Tokens of this issuer prove nothing"), ("remove", "The trusted issuer is removed")]
)
def test_before_it_is_turned_off_or_away_it_says_who_is_kept_out(door: TestClient, turn: str, after: str) -> None:
    register(door)
    pod = onboard(door, "Pod", ("k8s:ns", "production"))
    page = get(door, f"{PAGE}/production/{turn}")
    assert "1 proof of 1 client stops working" in page.text
    assert "These clients have no other proof and get no new token: Pod." in page.text
    assert after in page.form().send().follow().text
    assert "Can't authenticate" in get(door, f"/console/clients/{pod['client_id']}").text
    assert "Pod" in get(door, "/console/clients?state=unproved").links


def test_what_is_disabled_is_enabled_again(door: TestClient) -> None:
    register(door)
    get(door, f"{PAGE}/production/disable").form().send()
    page = get(door, f"{PAGE}/production")
    assert "Disabled Tokens of this issuer" in page.text
    assert f'<a class="button primary" href="{PAGE}/production/enable">Enable</a>' in page.html
    question = get(door, page.links["Enable"])
    assert "No proof uses Production now." in question.text
    assert "enabled again" in question.form().send().follow().text


def test_of_an_issuer_without_proofs_nothing_stops(door: TestClient) -> None:
    register(door)
    for turn in ("disable", "remove"):
        assert "No proof uses this trusted issuer." in get(door, f"{PAGE}/production/{turn}").text, turn


def test_keys_that_cannot_be_fetched_are_told_with_the_reason(door: TestClient) -> None:
    page = register(door, keys_from="url", keys_url="https://127.0.0.1:9/keys").follow()
    assert "It proves nothing until it has keys." in page.text
    assert "The trusted issuer is added" in page.html.partition('<div class="alert warn" role="status">')[2]
    assert page.links["paste the keys"] == f"{PAGE}/production/edit"
    assert "Next fetch" not in page.text
    after = page.form(f"{PAGE}/production/refresh").send().follow()
    assert "Cannot be fetched" in after.text
    assert "The last attempt failed" in after.text
