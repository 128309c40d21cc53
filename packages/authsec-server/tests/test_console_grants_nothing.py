"""A live delegation that grants nothing: every page and dry run says so, by one rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import PrivateKey
from pages import get
from starlette.testclient import TestClient
from trusted_issuers import agent as trusting
from trusted_issuers import shows, trust
from workload_evidence import kubernetes

House = Any
API = "/authsec/api/v1"
AUDIENCE = "https://customers.example.com"
POD = (("k8s:ns", "production"), ("k8s:sa", "customer-support-sa"))
SELECTORS = {"platform": "kubernetes", "selectors": [{"key": "k8s:ns", "value": "production"}]}
WHAT = {"role": "support", "target_type": "AutoGen AI agent", "max_duration": 3600, "actions": ["customers:read"]}


def key() -> dict[str, Any]:
    return {"platform": "key", "public_key": PrivateKey.generate_ed25519().public.to_pem().decode()}


def send(door: TestClient, path: str, method: str = "POST", **body: Any) -> dict[str, Any]:
    answer = door.request(method, f"{API}/{path}", json=body)
    assert answer.status_code in {200, 201}, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.fixture
def door(house: Callable[..., House]) -> TestClient:
    """The browser of an operator at the authority's machine, with an API and a role."""
    door: TestClient = house(local_operator=True).door()
    send(door, "apis", name="Customers", slug="customers", identifier=AUDIENCE)
    send(door, "roles", name="Support", slug="support", actions=["customers:read", "orders:read"])
    return door


def agent(door: TestClient, *proofs: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """An agent with these proofs: its Client ID, and the ids of the proofs by kind."""
    first, *others = proofs
    client_id: str = send(door, "clients", name="Helper", **first)["client_id"]
    for each in others:
        send(door, f"clients/{client_id}/proofs", **each)
    held = door.get(f"{API}/clients/{client_id}").json()["proofs"]
    return client_id, {each["kind"]: each["id"] for each in held}


def delegate(door: TestClient, client_id: str, **terms: Any) -> str:
    made: str = send(door, "delegations", **{**WHAT, "client": client_id, "audiences": [AUDIENCE], **terms})["id"]
    return made


def lose_actions(door: TestClient) -> None:
    revision = door.get(f"{API}/roles/support").json()["revision"]
    headers = {"If-Match": f'"{revision}"'}
    answer = door.patch(f"{API}/roles/support", json={"actions": ["orders:read"]}, headers=headers)
    assert answer.status_code == 200, answer.text


def test_without_the_proof_that_its_delegation_needs_an_agent_does_not_keep_working(door: TestClient) -> None:
    client_id, proofs = agent(door, key(), {"platform": "secret"})
    secret = proofs["secret"]
    delegate(door, client_id, excluded_proofs=["key_pair"])
    path = f"{API}/clients/{client_id}/proofs/{secret}?dry_run=1"
    stops = door.delete(path).json()["would_stop"]
    assert [(each["name"], each["goes_on"]) for each in stops["agents"]] == [("Helper", False)]
    page = get(door, f"/console/clients/{client_id}/proofs/{secret}/remove").text
    assert "No live trust delegation accepts the other proofs of Helper." in page
    delegate(door, client_id, max_duration=60)
    stops = door.delete(path).json()["would_stop"]
    assert [each["goes_on"] for each in stops["agents"]] == [True]
    assert "accepts the other proofs" not in get(door, f"/console/clients/{client_id}/proofs/{secret}/remove").text


LISTS = ["/console/delegations", "/console/roles/support", "/console/picture", "/console/search?q=helper"]


@pytest.mark.parametrize("how", ["excluded", "dormant"])
def test_beside_a_ready_client_each_list_marks_the_delegation_that_grants_nothing(door: TestClient, how: str) -> None:
    client_id, _ = agent(door, key())
    other = send(door, "roles", name="Other", slug="other", actions=["a:read"])["slug"]
    delegate(door, client_id, role=other, actions=["a:read"])
    mute = delegate(door, client_id, excluded_proofs=["key_pair"] if how == "excluded" else [])
    if how == "dormant":
        lose_actions(door)
    for path in LISTS:
        page = get(door, path)
        assert "Ready" in page.text or "search" in path, path
        assert page.text.count("Grants nothing") == 1, path
    drawn = get(door, "/console/picture").html
    assert 'class="picture-box warn"><title>customers:read, grants nothing, 1 hour</title>' in drawn
    shown = get(door, f"/console/delegations/{mute}").text
    assert "Live Grants nothing" in shown
    assert "No action is granted now." in shown


def test_a_box_of_the_diagram_that_grants_nothing_has_its_number_of_agents_before_its_duration(
    door: TestClient,
) -> None:
    for name in ("Night Owl", "Early Bird"):
        made = send(door, "clients", name=name, **key())
        delegate(door, made["client_id"], excluded_proofs=["key_pair"])
    assert "<title>customers:read, grants nothing, 2 agents, 1 hour</title>" in get(door, "/console/picture").html


def test_the_revocation_of_all_that_a_key_delegated_marks_what_grants_nothing(
    door: TestClient, house: Callable[..., House]
) -> None:
    pipeline = door.post(f"{API}/admin-keys", json={"name": "Pipeline", "role": "operator"}).json()
    client_id, _ = agent(door, key())
    program = house().door(Authorization=f"Bearer {pipeline['key']}")
    delegate(program, client_id, max_duration=60)
    delegate(program, client_id, excluded_proofs=["key_pair"])
    page = get(door, f"/console/administrators/keys/{pipeline['id']}/grants")
    assert page.text.count("Live Grants nothing") == 1


def test_after_the_creation_one_notice_says_that_the_delegation_grants_nothing(door: TestClient) -> None:
    client_id, _ = agent(door, key())
    mute = delegate(door, client_id, excluded_proofs=["key_pair"])
    page = get(door, f"/console/delegations?new={mute}&done=delegation_created").text
    assert "The trust delegation is created, but grants nothing" in page
    assert "created and live" not in page
    lively = delegate(door, client_id)
    page = get(door, f"/console/delegations?new={lively}&done=delegation_created").text
    assert "The trust delegation is created and live." in page


@pytest.mark.parametrize("tab", ["", "/connect"])
def test_the_client_id_alone_gets_no_token_by_delegations_that_require_dpop(door: TestClient, tab: str) -> None:
    client_id, _ = agent(door, key(), {"platform": "unattested"})
    delegate(door, client_id, require_dpop=True)
    page = get(door, f"/console/clients/{client_id}{tab}").text
    assert "Anybody who knows the Client ID can get" not in page
    assert "No live trust delegation accepts an unattested client, so the Client ID alone gets no token." in page
    delegate(door, client_id)
    assert "Anybody who knows the Client ID can get" in get(door, f"/console/clients/{client_id}{tab}").text


def test_the_page_of_a_laptop_code_promises_a_token_only_if_a_laptop_gets_one(door: TestClient) -> None:
    client_id, _ = agent(door, key())
    home = f"/console/clients/{client_id}"
    mute = delegate(door, client_id, excluded_proofs=["enrolled_key"])

    def code() -> Any:
        return get(door, f"{home}/enrol").form(f"{home}/enrol").send()

    page = code()
    assert "The laptop gets no token yet: the live trust delegation accepts no enrolled laptop." in page.text
    assert "smoke to get the first token" not in page.text
    assert page.links["Edit delegation"] == f"/console/delegations/{mute}/edit"
    delegate(door, client_id)
    assert "smoke to get the first token" in code().text
    lose_actions(door)
    send(door, f"delegations/{mute}/revoke")
    page = code()
    assert "The laptop gets no token yet: the role Support no longer has the delegated actions." in page.text
    assert page.links["Edit role"] == "/console/roles/support/edit"


def test_a_delegation_that_only_waits_for_a_proof_leads_to_the_proof(door: TestClient) -> None:
    client_id, _ = agent(door, key(), SELECTORS)
    way_out = f"/console/clients/{client_id}#proofs"
    delegate(door, client_id, audiences=["https://orders.example.com"], excluded_proofs=["key_pair"], max_duration=60)
    draft = f"/console/delegations/new?client={client_id}&role=support&actions=customers:read&audiences={AUDIENCE}"
    page = get(door, draft)
    assert "`resource`" not in page.text
    assert "must name an API with the parameter" not in page.text, "the other delegation grants nothing"
    page = get(door, f"{draft}&excluded_proofs=key_pair")
    assert "Helper gets no token by this delegation yet" in page.text
    assert "accepts no proof of the client" not in page.text
    assert page.links["Set up its proof"] == way_out
    mute = delegate(door, client_id, excluded_proofs=["key_pair"])
    page = get(door, f"/console/delegations/{mute}")
    assert page.links["Set up its proof"] == way_out
    assert "accepts only proofs of the client that AuthSec cannot verify yet" in page.text
    page = get(door, f"/console/clients/{client_id}")
    assert "The trust delegation of Support accepts only proofs of the client" in page.text
    assert page.html.count('<a class="button primary"') == 1
    assert page.links["Set up its proof"] == way_out


def test_a_delegation_that_is_over_is_not_said_to_grant_nothing_now(door: TestClient) -> None:
    client_id, _ = agent(door, key())
    over = delegate(door, client_id)
    delegate(door, client_id, max_duration=60)
    send(door, f"delegations/{over}/revoke")
    page = get(door, f"/console/clients/{client_id}").text
    assert "1 trust delegation that is not live" in page
    assert "nothing now" not in page


def test_a_warning_about_one_delegation_denies_no_other_token(door: TestClient) -> None:
    client_id, _ = agent(door, key())
    delegate(door, client_id)
    mute = delegate(door, client_id, excluded_proofs=["key_pair"])
    assert "so it gets no token by this delegation." in get(door, f"/console/delegations/{mute}").text


def test_before_tokens_are_revoked_no_new_token_is_promised_to_a_client_without_grant(door: TestClient) -> None:
    client_id, _ = agent(door, key())
    mute = delegate(door, client_id, excluded_proofs=["key_pair"])
    assert "can get new tokens at once" not in get(door, f"/console/clients/{client_id}/revoke").text
    send(door, f"delegations/{mute}/disable")
    assert "The agent gets no new token yet." in get(door, f"/console/delegations/{mute}/enable").text


def test_an_api_is_told_of_dpop_only_by_a_delegation_that_grants_something(door: TestClient) -> None:
    client_id, _ = agent(door, {"platform": "unattested"})
    delegate(door, client_id, require_dpop=True)
    assert "A trust delegation for this API requires DPoP." not in get(door, "/console/apis/customers").text
    send(door, f"clients/{client_id}/proofs", **key())
    assert "A trust delegation for this API requires DPoP." in get(door, "/console/apis/customers").text


def test_the_dashboard_names_clients_without_a_grant_and_delegations_that_grant_nothing(door: TestClient) -> None:
    client_id, _ = agent(door, key())
    lively = delegate(door, client_id)
    page = get(door, "/console")
    assert "No delegation" not in page.text
    assert "grants nothing" not in page.text
    mute = delegate(door, client_id, excluded_proofs=["key_pair"])
    page = get(door, "/console")
    assert page.links["1 live trust delegation grants nothing"] == f"/console/delegations/{mute}"
    assert "Support → Helper. The trust delegation accepts no proof of the client." in page.text
    send(door, f"delegations/{lively}/revoke")
    page = get(door, "/console")
    assert page.links["1 client: No delegation"] == "/console/clients?state=undelegated"
    assert "Helper" in get(door, page.links["1 client: No delegation"]).links


@pytest.mark.parametrize("lively", [False, True])
def test_the_review_of_a_role_edit_promises_no_action_by_a_delegation_that_grants_nothing(
    door: TestClient, lively: bool
) -> None:
    client_id, _ = agent(door, key())
    delegate(door, client_id, excluded_proofs=["key_pair"])
    if lively:
        delegate(door, client_id)
    lose_actions(door)
    role = door.get(f"{API}/roles/support").json()["id"]
    form = get(door, "/console/roles/support/edit").form(f"/console/roles/{role}/edit")
    page = form.send(other_actions="customers:read\norders:read").text
    assert ("Some agents get the added actions at once" in page) is lively
    assert ("No agent gets the added actions now" in page) is not lively
    assert page.count("Grants nothing") == 1


@pytest.mark.parametrize("has_token", [True, False])
def test_before_an_issuer_is_disabled_agents_whose_other_proof_is_refused_are_named(
    house: Callable[..., House], has_token: bool
) -> None:
    its, issuer = house(local_operator=True), kubernetes("production")
    trust(its, issuer)
    door, client_id = its.door(), trusting(its, issuer, *POD, excluded_proofs=["key_pair"])
    send(door, f"clients/{client_id}/proofs", **key())
    if has_token:
        assert shows(its, client_id, issuer.token(), door=door).status_code == 200
    said = "This client gets no new token, although it has another proof: Support."
    assert said in get(door, "/console/issuers/production/disable").text
    delegation = door.get(f"{API}/delegations").json()["items"][0]
    delegate(door, client_id, role=delegation["role"]["slug"], actions=delegation["actions"])
    assert said not in get(door, "/console/issuers/production/disable").text
