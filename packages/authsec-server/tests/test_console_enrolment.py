"""Run it on a laptop, in the console: a code shown once, taken back, and what stands in amber afterwards."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from laptops import Laptop, code_for, pod_of
from pages import Page, get, post
from people import first_administrator, invited
from starlette.testclient import TestClient

House = Any
CODE = re.compile(r"uv run authsec enrol ((?:[0-9A-Z]{4}-){7}[0-9A-Z]{4})")


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    """An authority at whose machine we sit."""
    return house(local_operator=True)


@pytest.fixture
def door(its: House) -> TestClient:
    """The browser of its operator."""
    return its.door()


def enrol_form(door: TestClient, pod: str, page: str = "connect") -> Any:
    path = f"/console/clients/{pod}"
    return get(door, f"{path}/{page}").form(f"{path}/enrol")


def shown_code(page: Page) -> str:
    """The code on the page, the same in both shells."""
    (code,) = set(CODE.findall(page.html))
    return code


def test_from_the_page_to_the_token(its: House, door: TestClient) -> None:
    pod, laptop = pod_of(its), Laptop(its)
    form = enrol_form(door, pod)
    assert form.options["hours"] == ["1", "4", "8", "24", "72", "168"]
    assert form.value("hours") == "8"
    page = form.send(hours="24")
    assert "The code works once" in page.text
    assert "for 24 hours" in page.text
    assert laptop.enrols(pod, shown_code(page)).json()["expires_at"] == "2026-11-26T12:00:00Z"
    assert laptop.asks(pod).status_code == 200
    overview = get(door, f"/console/clients/{pod}")
    for words in ("Ready Laptop", "Enrolled for some hours", "The machine 'ada-laptop' created this key"):
        assert words in overview.text
    activity = get(door, "/console/activity").text
    assert re.search(r"Support asked for \S+:\S+.* on a laptop", activity)
    assert "enrolled a machine as Support" in activity
    assert "1 client: Laptop" in get(door, "/console").text
    pod_of(its, "Other")
    listed = get(door, "/console/clients?warning=enrolled")
    assert ("Support" in listed.links, "Other" in listed.links, "1 client found" in listed.text) == (True, False, True)


def test_the_next_step_of_the_overview_is_one_code(its: House, door: TestClient) -> None:
    pod, laptop = pod_of(its), Laptop(its)
    home = f"/console/clients/{pod}"
    page = get(door, home).form(f"{home}/enrol").send()
    assert laptop.enrols(pod, shown_code(page)).json()["expires_at"] == "2026-11-25T20:00:00Z"
    assert "Next: get the first token" in get(door, home).text
    assert laptop.asks(pod).status_code == 200
    after = get(door, f"{home}?done=checked")
    assert 'id="next"' not in after.html
    assert "Checked. This page shows the current state." in after.text
    assert "Next: prove where it runs" in after.text
    assert "uv run authsec issuers add kubernetes" in after.html, "the cluster is still to be connected"


def test_the_page_of_the_code_says_what_comes_next(its: House, door: TestClient) -> None:
    assert "Then run uv run authsec smoke to get the first token." in enrol_form(door, pod_of(its)).send().text
    selectors = [{"key": "k8s:ns", "value": "production"}]
    body = {"name": "Alone", "platform": "kubernetes", "selectors": selectors}
    alone = door.post("/authsec/api/v1/clients", json=body).json()["client_id"]
    page = enrol_form(door, alone).send()
    assert page.links["create a trust delegation"] == f"/console/delegations/new?client={alone}"
    assert "to get the first token" not in page.text


def test_the_lines_do_in_a_shell_what_they_say(its: House, door: TestClient) -> None:
    pod = pod_of(its)
    page = enrol_form(door, pod).send()
    (lines,) = re.findall(r"<code>(export .*?)</code>", page.html, re.DOTALL)
    lines = lines.replace("&#34;", '"').replace("&quot;", '"')
    before = 'uv() { echo ran "$@"; }\nexport AUTHSEC_AGENT_KEY_FILE=another'
    said = subprocess.run(
        ["/bin/sh", "-c", f"{before}\n{lines}\nenv | grep ^AUTHSEC"],
        env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert sorted(said.stdout.splitlines()) == [
        f"AUTHSEC_AGENT_CLIENT_ID={pod}",
        "AUTHSEC_BASE_URL=http://127.0.0.1:7468",
        f"ran run authsec enrol {shown_code(page)}",
    ]


def test_the_code_is_on_no_other_page_and_is_taken_back(its: House, door: TestClient) -> None:
    pod, home = pod_of(its), "/console/clients/"
    page = enrol_form(door, pod, "enrol").send()
    code = shown_code(page)
    for path in ("", "/connect", "/enrol"):
        again = get(door, f"{home}{pod}{path}")
        assert code not in again.html
        assert "local operator created a code at 12:00:00. The code is still valid" in again.text
    (back,) = [each for each in get(door, f"{home}{pod}").forms if each.action.endswith("/take-back")]
    assert "Nobody can use it any more" in back.send().follow().text
    assert Laptop(its).enrols(pod, code).status_code == 403
    assert back.send().status == 404


def test_what_cannot_be_made_says_why_on_the_form(its: House, door: TestClient) -> None:
    pod = pod_of(its)
    wrong = enrol_form(door, pod).send(hours="0")
    assert (wrong.status, "0 hours are out of range" in wrong.text) == (400, True)
    for _ in range(5):
        code_for(its, pod)
    full = enrol_form(door, pod).send()
    assert (full.status, "5 open codes" in full.text) == (409, True)
    post(door, f"/console/clients/{pod}/disable", [])
    assert "no code can be created" in get(door, f"/console/clients/{pod}/connect").text
    assert post(door, f"/console/clients/{pod}/enrol", [("hours", "8")]).status == 409


def test_a_code_is_not_kept_by_the_browser_and_not_offered_to_viewers(its: House, house: Callable[..., House]) -> None:
    pod, served = pod_of(its), house()
    admin = first_administrator(served)
    viewer = invited(served, admin, "viewer")
    page = get(viewer, f"/console/clients/{pod}/connect")
    assert not [each for each in page.forms if each.action.endswith("/enrol")]
    assert "An operator can create the code" in page.text
    assert post(viewer, f"/console/clients/{pod}/enrol", [("hours", "8")]).status == 403
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    answer = admin.post(f"/console/clients/{pod}/enrol", content="hours=8", headers=headers)
    assert "no-store" in answer.headers["cache-control"]
    assert CODE.search(answer.text)
