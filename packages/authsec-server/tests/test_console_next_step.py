"""The checklist and the next step on the page of a client: each problem once, each with the button that mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import PrivateKey
from laptops import Laptop
from pages import Page, get, post
from people import first_administrator, invited
from starlette.testclient import TestClient
from workload_evidence import kubernetes

API = "/authsec/api/v1"
FOUR = {
    "k8s:ns": "production",
    "k8s:sa": "customer-support-sa",
    "k8s:pod-label:app": "customer-support",
    "k8s:container-name": "agent",
}
TWO = {"k8s:ns": "production", "k8s:sa": "customer-support-sa"}


@pytest.fixture
def door(house: Callable[..., Any]) -> TestClient:
    """The browser of the operator at the authority's machine."""
    opened: TestClient = house(local_operator=True).door()
    return opened


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def pod(door: TestClient, **selectors: str) -> str:
    """The page of an agent on Kubernetes."""
    its = [{"key": key, "value": value} for key, value in (selectors or FOUR).items()]
    return f"/console/clients/{make(door, 'clients', name='Pod', platform='kubernetes', selectors=its)['client_id']}"


def cluster(door: TestClient, name: str = "Production") -> str:
    what = {"kind": "kubernetes", "issuer": f"https://{name}.example", "keys_from": "given"}
    id_: str = make(door, "issuers", name=name, **what, given_keys=kubernetes().jwks)["id"]
    return id_


def keyed(door: TestClient) -> str:
    key = PrivateKey.generate_ed25519().public.to_pem().decode()
    return f"/console/clients/{make(door, 'clients', name='Keyed', platform='key', public_key=key)['client_id']}"


def panel(page: Page) -> str:
    return page.html.partition('id="next"')[2].partition("</section>")[0]


def test_the_missing_issuer_is_said_once(door: TestClient) -> None:
    page = get(door, pod(door))
    assert page.text.count("No trusted issuer") == 1
    assert page.text.count("Can't authenticate") == 1
    assert page.text.count("Not proved") == 1
    for problem in ("attestation_required", "no trusted issuer", "can't authenticate yet"):
        assert problem not in page.text


def test_one_button_uses_the_trusted_issuer_that_can_prove_the_selectors(door: TestClient) -> None:
    home = pod(door, **TWO)
    first, second = cluster(door), cluster(door, "Staging")
    page = get(door, home)
    offered = [each.value("trusted_issuer") for each in page.forms if each.action.endswith("/bind")]
    assert offered == [first, second]
    assert "Use Production" in panel(page)
    assert "Use Staging" in panel(page)
    bind = next(each for each in page.forms if each.action.endswith("/bind"))
    after = bind.send().follow()
    assert "The proof is bound to the trusted issuer." in after.text
    assert "Proof done: Production" in after.text
    again = post(door, bind.action, [("trusted_issuer", second)])
    assert (again.status, "is bound to the trusted issuer 'Production'" in again.text) == (409, True)


def test_only_a_proof_of_this_client_is_bound(door: TestClient) -> None:
    home, other, trusted_issuer = pod(door, **TWO), keyed(door), cluster(door)
    proof = door.get(f"{API}/clients/{home.rpartition('/')[2]}").json()["proofs"][0]["id"]
    assert post(door, f"{other}/proofs/{proof}/bind", [("trusted_issuer", trusted_issuer)]).status == 404
    assert "Use Production" in panel(get(door, home))


def test_check_again_says_what_was_found(door: TestClient) -> None:
    home = pod(door, **TWO)
    nothing = "Checked. This page shows the current state. No trusted issuer can prove these selectors yet."
    assert nothing in get(door, f"{home}?done=checked").text
    cluster(door)
    assert "state. A trusted issuer can prove these selectors now." in get(door, f"{home}?done=checked").text


def test_a_check_that_finds_nothing_has_no_green_tick(door: TestClient) -> None:
    home = pod(door, **TWO)
    assert 'class="alert warn" role="status"' in get(door, f"{home}?done=checked").html
    cluster(door)
    assert 'class="alert good" role="status"' in get(door, f"{home}?done=checked").html


def test_after_a_laptop_is_enrolled_the_page_keeps_the_way_to_the_cluster(house: Callable[..., Any]) -> None:
    its = house(local_operator=True)
    door = its.door()
    home = pod(door)
    agent = home.rpartition("/")[2]
    code = door.post(f"{API}/clients/{agent}/enrolments", json={"hours": 8}).json()["code"]
    assert Laptop(its).enrols(agent, code).status_code == 201
    page = get(door, home)
    assert "prove where it runs" in page.text
    assert "Only a laptop proves this agent now." in page.text
    assert "Proof done, but weak: Laptop" in page.text
    assert "uv run authsec issuers add kubernetes" in page.text
    cluster(door)
    assert get(door, "/console/issuers/production").links["Pod"] == home
    (way,) = [href for text, href in get(door, home).links.items() if text.startswith("Add a proof with k8s:ns")]
    added = get(door, way).form(f"{home}/proofs/add").send().follow()
    assert "prove where it runs" not in added.text
    assert "so you can remove this one." in added.text
    removed = get(door, added.links["Remove this proof"]).form().send().follow()
    assert "so you can remove this one." not in removed.text
    assert len(door.get(f"{API}/clients/pod").json()["proofs"]) == 2


def test_a_trusted_issuer_leads_back_to_the_agent_that_waits_for_it(door: TestClient) -> None:
    home = pod(door, **TWO)
    cluster(door)
    assert get(door, "/console/issuers/production").links["Open Pod"] == home


def test_a_server_without_credentials_says_so_in_a_sentence_of_its_own(door: TestClient) -> None:
    said = panel(get(door, pod(door)))
    assert "<code>AUTHSEC_SERVER_CREDENTIALS_DIR</code> is not set. In your clone," in said
    assert "this page then offers a proof without these selectors" in said


def test_a_disabled_issuer_is_enabled_and_a_client_too(door: TestClient) -> None:
    cluster(door)
    home = pod(door, **TWO)
    door.post(f"{API}/issuers/production/disable")
    assert get(door, home).links["Enable Production"] == "/console/issuers/production/enable"
    door.post(f"{API}/clients/{home.rpartition('/')[2]}/disable")
    assert get(door, home).links["Enable client"] == f"{home}/enable"


def test_the_proof_without_look_ups_is_filled_in_and_nothing_is_added_by_its_address(door: TestClient) -> None:
    home = pod(door)
    cluster(door)
    (way,) = [href for text, href in get(door, home).links.items() if text.startswith("Add a proof with k8s:ns")]
    page = get(door, way)
    form = page.form(f"{home}/proofs/add")
    assert form.values("kubernetes-key")[:2] == list(TWO)
    assert form.values("kubernetes-value")[:2] == list(TWO.values())
    assert len(door.get(f"{API}/clients/pod").json()["proofs"]) == 1
    assert get(door, f"{home}/proofs/add?without_lookup=nonsense&platform=nonsense").status == 200


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_who_may_not_do_it_reads_whom_to_ask(house: Callable[..., Any], role: str) -> None:
    its = house()
    admin = first_administrator(its)
    rows = {"kubernetes-key": [*FOUR], "kubernetes-parameter": [""] * 4, "kubernetes-value": [*FOUR.values()]}
    form = get(admin, "/console/clients/onboard").form("/console/clients/onboard")
    home = form.send(name="Pod", platform="kubernetes", **rows).follow().path
    assert "Run this in a clone" in get(admin, home).text
    seen = get(invited(its, admin, role), home)
    assert "Ask an admin to run this in a clone" in seen.text
    offered = [each.action for each in seen.forms if not each.of_the_frame]
    assert offered == ([f"{home}/enrol", home] if role == "operator" else [home])
    assert ("Ask an operator for the code." in seen.text) == (role == "viewer")


def test_from_the_key_to_the_first_token_each_step_has_its_button(door: TestClient) -> None:
    home = keyed(door)
    page = get(door, home)
    assert "Next: create a trust delegation" in page.text
    assert page.links["Create trust delegation"] == f"/console/delegations/new?client={home.rpartition('/')[2]}"
    make(door, "roles", name="R", slug="r", actions=["a:read"])
    what = {"role": "r", "client": "keyed", "target_type": "AutoGen AI agent", "max_duration": 900}
    made = make(door, "delegations", actions=["a:read"], **what)
    page = get(door, home)
    assert "Next: get the first token" in page.text
    assert page.links["Test"] == f"{home}/test"
    door.post(f"{API}/delegations/{made['id']}/disable")
    assert get(door, home).links["Enable delegation"] == f"/console/delegations/{made['id']}/enable"


def test_unattested_leads_to_a_key_pair(door: TestClient) -> None:
    make(door, "clients", name="Open", platform="unattested")
    page = get(door, "/console/clients/open")
    assert "Proof done, but weak: Unattested" in page.text
    page = get(door, page.links["Add key pair"])
    assert 'value="key" required aria-invalid="false" checked' in page.html


def test_many_actions_are_folded_by_delegation(door: TestClient) -> None:
    home = keyed(door)
    actions = [f"thing{number}:read" for number in range(65)]
    make(door, "roles", name="Many", slug="many", actions=actions)
    what = {"role": "many", "client": "keyed", "target_type": "AutoGen AI agent", "max_duration": 3600}
    make(door, "delegations", actions=actions, **what)
    make(door, "delegations", actions=actions[:2], **what)
    page = get(door, home)
    assert "1 hour · no end date · 65 actions" in page.text
    assert page.html.count('<details class="granted">') == 1
    assert page.html.count('<details class="granted" open>') == 1


def test_the_laptop_is_the_first_way_and_the_cluster_the_other(door: TestClient) -> None:
    page = get(door, pod(door))
    said = panel(page)
    assert "Start from a laptop now, or add the cluster." in said
    assert said.index("Try it from a laptop") < said.index("Add the cluster")
    assert '<button class="primary">Create code</button>' in page.html
