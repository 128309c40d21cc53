"""The state of a client in the console: each page shows the same word in the same colour, and says the way out."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from authsec.jose import PrivateKey
from pages import get
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
AUDIENCE = "https://customers.example.com"
ACTIONS = ["customers:read", "orders:read"]
BADGES = re.compile(r'<span class="badges">((?:<span class="badge \w+"[^>]*>[^<]+</span> ?)+)</span>')
BADGE = re.compile(r'<span class="badge (\w+)"[^>]*>([^<]+)</span>')
DISABLED, UNPROVED = ("Disabled", "quiet"), ("Can't authenticate", "warn")
UNDELEGATED, READY = ("No delegation", "warn"), ("Ready", "good")
UNATTESTED = ("Unattested", "bad")


@pytest.fixture
def door(house: Callable[..., House]) -> TestClient:
    """The browser of an operator at the authority's machine."""
    return house(local_operator=True).door()


def send(door: TestClient, path: str, **body: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{path}", json=body)
    assert answer.status_code in {200, 201}, answer.text
    made: dict[str, Any] = answer.json()
    return made


@dataclass(frozen=True)
class Case:
    """A client of one state. `how` is its platform, and `box` is the colour of its box in the picture."""

    badges: tuple[tuple[str, str], ...]
    how: str
    box: str


CASES = [
    Case((DISABLED,), "key", "quiet"),
    Case((DISABLED, UNATTESTED), "unattested", "quiet"),
    Case((UNPROVED,), "kubernetes", "warn"),
    Case((UNDELEGATED,), "key", "warn"),
    Case((UNDELEGATED, UNATTESTED), "unattested", "warn"),
    Case((READY,), "key", "good"),
    Case((READY, UNATTESTED), "unattested", "bad"),
    Case((READY, ("Client secret", "warn")), "secret", "warn"),
]


def found(door: TestClient, case: Case) -> tuple[str, str]:
    """A client of that state, with a live delegation: both ids."""
    proofs: dict[str, Any] = {
        "key": {"public_key": PrivateKey.generate_ed25519().public.to_pem().decode()},
        "kubernetes": {"selectors": [{"key": "k8s:ns", "value": "production"}]},
    }
    send(door, "apis", name="Customers", slug="customers", identifier=AUDIENCE)
    role = send(door, "roles", name="Support", actions=ACTIONS)
    client_id: str = send(door, "clients", name="Helper", platform=case.how, **proofs.get(case.how, {}))["client_id"]
    what = {"target_type": "AutoGen AI agent", "max_duration": 3600, "actions": ACTIONS[:1], "audiences": [AUDIENCE]}
    delegation_id: str = send(door, "delegations", role="support", client=client_id, **what)["id"]
    if UNDELEGATED in case.badges:
        headers = {"If-Match": f'"{role["revision"]}"'}
        answer = door.patch(f"{API}/roles/support", json={"actions": ACTIONS[1:]}, headers=headers)
        assert answer.status_code == 200, answer.text
    if DISABLED in case.badges:
        send(door, f"clients/{client_id}/disable")
    return client_id, delegation_id


def shown(page: str) -> set[tuple[tuple[str, str], ...]]:
    """The rows of badges on the page, each as its words with their colours."""
    return {
        tuple((html.unescape(word), tone) for tone, word in BADGE.findall(badges)) for badges in BADGES.findall(page)
    }


# Without proof, a state has the badge of this state and that of all unattested clients, of which every run has one.
RARE = CASES[1], CASES[4]


@pytest.mark.soak
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.soak if case in RARE else ()) for case in CASES],
    ids=lambda case: " ".join(word for word, _ in case.badges),
)
def test_a_client_has_the_same_badges_on_every_page(door: TestClient, case: Case) -> None:
    client_id, delegation_id = found(door, case)
    home = f"/console/clients/{client_id}"
    of_the_client = [home, f"{home}/connect", f"{home}/test", f"{home}/enrol"]
    of_others = [
        *(
            "/console/clients",
            f"/console/delegations/{delegation_id}",
            "/console/delegations",
            "/console/roles/support",
        ),
        *("/console", f"/console/picture?client={client_id}"),
        *(() if DISABLED in case.badges else ("/console/apis/customers",)),  # its callers can get tokens or soon could
    ]
    for path in [*of_the_client, *of_others]:
        assert shown(get(door, path).html) == {case.badges}, path
    for path in of_others:
        tones = [tone for tone, _ in BADGE.findall(get(door, path).html)]
        assert ("good" in tones) is (READY in case.badges), path
    title = ", ".join(["Helper", *(word for word, _ in case.badges)])
    drawn = dict(re.findall(r'class="picture-box (\w*)"><title>(.*?)</title>', get(door, "/console").html))
    boxes = {html.unescape(name): tone for tone, name in drawn.items()}
    assert boxes.get(title) == case.box
    context = get(door, f"/console/delegations/new?role=support&client={client_id}")
    hidden = {READY, UNDELEGATED}  # the person is about to delegate
    told = ", ".join(word for word, tone in case.badges if (word, tone) not in hidden)
    assert f"Helper (AI Agent, helper){told and f': {told}'}" in context.text


def way_out(door: TestClient, path: str) -> dict[str, str]:
    page = get(door, path)
    ways = {"Set up its proof", "Enable client", "Edit role"}
    return {name: where for name, where in page.links.items() if name in ways}


@pytest.mark.soak
def test_a_delegation_that_gives_no_token_says_the_way_out(door: TestClient) -> None:
    client_id, delegation_id = found(door, CASES[2])
    paths = [
        f"/console/delegations/{delegation_id}",
        f"/console/delegations?new={delegation_id}",
        f"/console/delegations/new?role=support&client={client_id}",
        f"/console/delegations/new?role=support&client={client_id}&actions=orders:read",
    ]
    for path in paths:
        assert "Helper can't authenticate" in get(door, path).text, path
        assert way_out(door, path) == {"Set up its proof": f"/console/clients/{client_id}#next"}, path
    assert 'id="next"' in get(door, f"/console/clients/{client_id}").html
    assert way_out(door, "/console/delegations") == {}
    send(door, f"clients/{client_id}/disable")
    for path in paths:
        assert "Helper is disabled" in get(door, path).text, path
        assert way_out(door, path) == {"Enable client": f"/console/clients/{client_id}/enable"}, path
    send(door, f"delegations/{delegation_id}/revoke")
    assert way_out(door, paths[0]) == {}, "to enable the client would not help"


def test_a_delegation_whose_role_lost_its_actions_leads_to_the_role(door: TestClient) -> None:
    client_id, delegation_id = found(door, CASES[3])
    page = get(door, f"/console/delegations/{delegation_id}")
    assert "This trust delegation gives no token The role Support no longer has this action." in page.text
    assert way_out(door, f"/console/delegations/{delegation_id}") == {"Edit role": "/console/roles/support/edit"}
    page = get(door, f"/console/clients/{client_id}")
    assert "The role Support no longer has the delegated actions." in page.text
    assert page.links["Edit role"] == "/console/roles/support/edit"


def test_a_live_delegation_that_accepts_no_proof_of_its_client_grants_nothing(door: TestClient) -> None:
    _, delegation_id = found(door, CASES[6])
    paths = ["/console/delegations", f"/console/delegations/{delegation_id}", "/console/apis/customers"]
    paths += ["/console/search?q=helper", "/console/roles/support/delete"]
    assert [get(door, path).text.count("Grants nothing") for path in paths] == [0] * len(paths)
    revision = door.get(f"{API}/delegations/{delegation_id}").json()["revision"]
    headers = {"If-Match": f'"{revision}"'}
    answer = door.patch(f"{API}/delegations/{delegation_id}", json={"require_dpop": True}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert [get(door, path).text.count("Grants nothing") for path in paths] == [1] * len(paths)
    assert (("Live", "quiet"), ("Grants nothing", "warn")) in shown(get(door, paths[0]).html)


def test_after_a_new_delegation_that_grants_nothing_the_next_step_is_a_proof(door: TestClient) -> None:
    client_id, delegation_id = found(door, CASES[6])
    page = get(door, f"/console/delegations?new={delegation_id}")
    assert "Next: connect Helper and run the smoke test." in page.text
    what = {"target_type": "AutoGen AI agent", "max_duration": 3600, "actions": ACTIONS[:1], "require_dpop": True}
    new = send(door, "delegations", role="support", client=client_id, audiences=[AUDIENCE], **what)["id"]
    page = get(door, f"/console/delegations?new={new}")
    assert "Next:" not in page.text
    assert "The trust delegation is created, but grants nothing" in page.text
    assert page.links["Add a proof"] == f"/console/clients/{client_id}/proofs/add"
    assert page.links["Edit delegation"] == f"/console/delegations/{new}/edit"


def test_before_a_client_is_enabled_the_page_says_whether_it_gets_tokens(door: TestClient) -> None:
    client_id, delegation_id = found(door, CASES[1])
    path = f"/console/clients/{client_id}/enable"
    assert "The client gets tokens again, for customers:read" in get(door, path).text
    revision = door.get(f"{API}/delegations/{delegation_id}").json()["revision"]
    headers = {"If-Match": f'"{revision}"'}
    answer = door.patch(f"{API}/delegations/{delegation_id}", json={"require_dpop": True}, headers=headers)
    assert answer.status_code == 200, answer.text
    page = get(door, path).text
    assert "gets tokens again" not in page
    assert "The client still gets no token, because no live trust delegation gives it an action." in page


def test_before_a_client_without_proof_is_enabled_the_page_says_that_it_gets_no_token(door: TestClient) -> None:
    client_id, _ = found(door, CASES[2])
    send(door, f"clients/{client_id}/disable")
    page = get(door, f"/console/clients/{client_id}/enable").text
    assert "gets tokens again" not in page
    assert "The client still can't authenticate, so it gets no token." in page
    assert "Once it can authenticate, it may use customers:read" in page


def test_the_page_of_an_api_does_not_deny_the_live_delegation_of_a_disabled_client(door: TestClient) -> None:
    found(door, CASES[0])
    page = get(door, "/console/apis/customers").text
    assert "No agent: no live trust delegation of an enabled client names this audience." in page
