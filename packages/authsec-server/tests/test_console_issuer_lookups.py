"""The look-ups of a cluster in the console: turned on in its form, and on its page how they go and what they prove."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from api_server import CREDENTIALS, ApiServer, no_longer, pod
from authsec_server.issuers import service as issuers
from pages import get
from trusted_issuers import agent, shows
from workload_evidence import kubernetes

PAGE, NEW = "/console/issuers", "/console/issuers/new"
POD = "customer-support-7f9c5b4d6-x2x7k"
OFF = "This server has no folder of credentials"
FOUR = (
    ("k8s:ns", "production"),
    ("k8s:sa", "customer-support-sa"),
    ("k8s:pod-label:app", "customer-support"),
    ("k8s:container-name", "agent"),
)


@pytest.fixture
def server(peers: Any, peer: Callable[..., Any], tmp_path: Path) -> ApiServer:
    (tmp_path / "credentials").mkdir()
    return ApiServer(peers, peer, tmp_path / "credentials")


@pytest.mark.soak
def test_look_ups_are_turned_on_seen_at_work_failing_and_turned_off(
    house: Callable[..., Any], server: ApiServer
) -> None:
    its, issuer = house(local_operator=True, **server.settings), kubernetes()
    door = its.door()
    known = {"name": "Production", "issuer": issuer.trusted_issuer.issuer, "given_keys": json.dumps(issuer.jwks)}
    page = get(door, f"{NEW}?kind=kubernetes").form(NEW).send(**known).follow()
    assert "AuthSec does not ask the cluster" in page.text
    assert "Without pod look-up, this trusted issuer cannot prove them" in page.text
    form = get(door, page.links["Turn on token review or pod look-up"]).form(f"{PAGE}/production/edit")
    typed = {"api_server": server.url, "api_ca": server.ca, "credentials": CREDENTIALS}
    wrong = form.send(**typed | {"credentials": "../token"}, token_review="yes", pod_lookup="yes")
    assert "and no folder" in wrong.text
    again = wrong.form(f"{PAGE}/production/edit")
    assert (again.value("api_server"), again.value("token_review")) == (server.url, "yes")
    server.fails = "403 Forbidden"
    silent = again.send(credentials=CREDENTIALS)
    assert "The cluster does not answer, so nothing was saved" in silent.text
    assert "may not get pods" in silent.text
    assert "AuthSec does not ask the cluster" in get(door, f"{PAGE}/production").text
    again = silent.form(f"{PAGE}/production/edit")
    assert "Save although the cluster does not answer" in silent.text
    page = again.send(anyway="yes").follow()
    assert "Look-ups Not asked yet" in page.text
    assert "k8s:pod-label:<key> proved by look-up" in page.text
    assert "k8s:container-name by look-up: the pod has such a container" in page.text
    assert "authsec issuers rbac production" in page.text
    server.fails = ""
    assert "Look-ups Working" in page.form(f"{PAGE}/production/check").send().follow().text

    issuer.trusted_issuer = its.authority.database.read(lambda tx: issuers.find(tx, "production"))
    client_id = agent(its, issuer, *FOUR)
    assert shows(its, client_id, issuer.token()).status_code == 200
    assert "Look-ups Working" in get(door, f"{PAGE}/production").text
    story = get(door, f"/console/activity/{its.events()[-1].id}").text
    assert "Signed by Production; the token was reviewed by the cluster." in story
    assert "k8s:sa proved by the token" in story
    assert "k8s:container-name by look-up: the pod has such a container" in story
    server.pods, its.clock.at = {POD: pod({"labels": {"app": "billing"}})}, its.clock.at + timedelta(minutes=1)
    assert shows(its, client_id, issuer.token()).status_code == 403
    story = get(door, f"/console/activity/{its.events()[-1].id}").text
    assert "label app is billing , registered customer-support" in story
    assert "k8s:pod-label:app proved by look-up customer-support billing" in story
    server.review = no_longer()
    its.clock.at += timedelta(minutes=1)
    assert shows(its, client_id, issuer.token()).status_code == 401
    assert (
        "The cluster reports that the token is no longer valid"
        in get(door, f"/console/activity/{its.events()[-1].id}").text
    )
    its.clock.at += timedelta(minutes=1)
    server.fails = "403 Forbidden"
    assert shows(its, client_id, issuer.token()).status_code == 503
    page = get(door, f"{PAGE}/production").form(f"{PAGE}/production/check").send().follow()
    assert "Look-ups Failing" in page.text
    assert "may not get pods" in page.text
    assert "may not create tokenreviews" in page.text

    form = get(door, f"{PAGE}/production/edit").form(f"{PAGE}/production/edit")
    page = form.send(token_review=[], pod_lookup=[], api_server="", api_ca="", credentials="").follow()
    assert "AuthSec does not ask the cluster" in page.text


def test_without_a_folder_the_form_says_what_that_means(house: Callable[..., Any]) -> None:
    door = house(local_operator=True).door()
    page = get(door, f"{NEW}?kind=kubernetes")
    assert OFF in page.text
    assert "AUTHSEC_SERVER_CREDENTIALS_DIR" in page.text
    assert OFF not in get(door, f"{NEW}?kind=oidc").text
    issuer = kubernetes()
    known = {"name": "Production", "issuer": issuer.trusted_issuer.issuer, "given_keys": json.dumps(issuer.jwks)}
    made = page.form(NEW).send(**known).follow()
    assert "this server needs a folder of credentials: set" in made.text
    assert "Turn on token review or pod look-up" not in made.links
