"""Clusters that are asked about tokens and pods: what that proves, when it is asked, and what becomes of a dead one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from api_server import OWN_TOKEN, ApiServer, no_longer, pod, review
from attesting import ask, client, proof
from authsec_server.attestation.cluster import Clusters
from authsec_server.attestation.model import Evidence, Proved, Scheme
from authsec_server.attestation.service import attest
from authsec_server.attestation.workloads import Workloads
from authsec_server.failures import Unavailable
from authsec_server.tokens.preview import preview
from hypothesis import given
from hypothesis import strategies as st
from trusted_issuers import agent, operator, refusals, shows, trust
from workload_evidence import NOW, US, finder, kubernetes

House = Any
FOUR = (
    ("k8s:ns", "production"),
    ("k8s:sa", "customer-support-sa"),
    ("k8s:pod-label:app", "customer-support"),
    ("k8s:container-name", "agent"),
)
BY_TOKEN = FOUR[:2]


@pytest.fixture
def server(peers: Any, peer: Callable[..., Any], tmp_path: Path) -> ApiServer:
    folder = tmp_path / "credentials"
    folder.mkdir()
    return ApiServer(peers, peer, folder)


def set_up(house: Any, server: ApiServer, *selectors: tuple[str, str], **what: Any) -> tuple[Any, Any, str]:
    """An authority that trusts a cluster, the cluster, and an agent that is known by these selectors."""
    settings = {name: what.pop(name) for name in ("lookup_seconds", "local_operator") if name in what}
    its, issuer = house(**server.settings, **settings), kubernetes()
    trust(its, issuer, may_look_up=True, **server.asked_for(**what))
    return its, issuer, agent(its, issuer, *(selectors or FOUR))


def issued(its: Any) -> dict[str, Any]:
    """What the audit log keeps of the last token."""
    rows = [each.event for each in its.events() if each.event.kind == "token.issued"]
    return dict(rows[-1].detail)


def test_the_four_selectors_of_a_pod_each_say_how_they_were_proved(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server)
    answer = shows(its, client_id, issuer.token())
    assert answer.status_code == 200, answer.text
    assert issued(its)["proved_by"] == {
        "k8s:ns": "token",
        "k8s:sa": "token",
        "k8s:pod-label:app": "lookup",
        "k8s:container-name": "lookup",
    }
    assert issued(its)["validation"] == "token_review"
    assert server.reviewed()[0]["spec"] == {"token": issuer.token(), "audiences": [US]}
    assert server.asked == [
        "/apis/authentication.k8s.io/v1/tokenreviews",
        "/api/v1/namespaces/production/pods/customer-support-7f9c5b4d6-x2x7k",
    ]
    assert server.authorization == [f"Bearer {OWN_TOKEN}"] * 2


def test_the_token_says_how_it_was_checked_as_the_preview_foretold(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server)
    shows(its, client_id, issuer.token())
    tokens = its.authority.tokens
    seen = its.authority.database.read(lambda tx: preview(tx, operator(its), tokens.issuance, client_id))
    said = seen.claims["attestation"]
    wanted = {"method": "kubernetes", "validation": "token_review", "source": issuer.trusted_issuer.id}
    assert said.items() >= wanted.items()
    assert said["selectors"] == [key for key, _ in FOUR]
    offline = kubernetes("cluster-b", issuer="https://b.example.com", key=issuer.key)
    trust(its, offline)
    other = agent(its, offline, *BY_TOKEN, name="Other")
    assert shows(its, other, offline.token()).status_code == 200
    assert issued(its)["validation"] == "offline"
    assert len(server.asked) == 2


def test_nobody_is_asked_about_a_token_that_is_not_good_by_itself(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server)
    for spoilt in (
        issuer.token(aud=["another"]),
        issuer.token(exp=1),
        issuer.token(iss="https://elsewhere.example.com"),
        issuer.token()[:-4] + "AAAA",
        "nonsense",
    ):
        assert shows(its, client_id, spoilt).status_code == 401
    another = issuer.claims()["kubernetes.io"] | {"serviceaccount": {"name": "default", "uid": "2"}}
    token = issuer.token(sub="system:serviceaccount:production:default", **{"kubernetes.io": another})
    assert shows(its, client_id, token).status_code == 403
    assert server.asked == []
    miss = refusals(its)[-1].event.detail["miss"]
    assert miss["sentence"] == (
        "namespace matches; service account is `default`, registered `customer-support-sa`; label app was not looked "
        "up; container was not looked up"
    )


def test_what_the_pod_shows_instead_is_told_to_operators(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server, *FOUR[:2], ("k8s:pod-label:app", "x"), ("k8s:container-name", "y"))
    answer = shows(its, client_id, issuer.token())
    assert (answer.status_code, answer.json()["reason"]) == (403, "selectors_mismatch")
    assert "agent" not in answer.text
    miss = refusals(its)[-1].event.detail["miss"]
    assert miss["validation"] == "token_review"
    assert miss["sentence"] == (
        "namespace, service account match; label app is `customer-support`, registered `x`; container is `agent, "
        "metrics, proxy`, registered `y`"
    )
    assert [row["proved_by"] for row in miss["selectors"]] == ["token", "token", "lookup", "lookup"]


def test_a_pod_is_looked_up_only_for_whom_it_decides(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server, *BY_TOKEN)
    assert shows(its, client_id, issuer.token()).status_code == 200
    assert (server.count("/tokenreviews"), server.count("/pods/")) == (1, 0)


def test_a_token_of_no_pod_shows_none_of_a_pods_selectors(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server, token_review=False)
    bound = {name: it for name, it in issuer.claims()["kubernetes.io"].items() if name not in {"pod", "node"}}
    answer = shows(its, client_id, issuer.token(**{"kubernetes.io": bound}))
    assert (answer.status_code, server.asked) == (403, [])
    assert "label app is missing" in refusals(its)[-1].event.detail["miss"]["sentence"]


def test_a_pod_that_is_gone_is_refused_and_it_is_said_what_would_help(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server)
    server.review = no_longer()
    answer = shows(its, client_id, issuer.token())
    assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_invalid")
    assert "the token's pod or service account was deleted" in answer.json()["details"]
    row = refusals(its)[-1].event
    assert (row.detail["gone"], row.detail["trusted_issuer"]["name"]) == (True, "cluster-a")


def test_without_reviews_the_pod_itself_tells_that_it_is_gone(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server, token_review=False)
    for pods in ({}, {"customer-support-7f9c5b4d6-x2x7k": pod({"uid": "its successor"})}):
        server.pods = pods
        answer = shows(its, client_id, issuer.token())
        assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_invalid")


def test_what_the_cluster_said_counts_for_half_a_minute(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server)
    for _ in range(3):
        assert shows(its, client_id, issuer.token()).status_code == 200
    assert len(server.asked) == 2
    server.review, server.pods = no_longer(), {}
    its.clock.at += timedelta(seconds=29)
    assert shows(its, client_id, issuer.token()).status_code == 200
    its.clock.at += timedelta(seconds=1)
    assert shows(its, client_id, issuer.token()).status_code == 401


@pytest.mark.parametrize("reviews", [True, False], ids=["a token", "a pod"])
def test_what_was_said_of_one_counts_for_no_other(house: House, server: ApiServer, reviews: bool) -> None:
    its, issuer, client_id = set_up(house, server, token_review=reviews)
    assert shows(its, client_id, issuer.token()).status_code == 200
    if reviews:
        server.review = no_longer()
    gone = issuer.claims()["kubernetes.io"] | {"pod": {"name": "customer-support-gone", "uid": "1"}}
    other = issuer.token(jti="another") if reviews else issuer.token(**{"kubernetes.io": gone})
    assert shows(its, client_id, other).status_code == 401
    assert shows(its, client_id, issuer.token()).status_code == 200


def test_a_no_is_not_kept(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server)
    yes, server.review = server.review, no_longer()
    assert shows(its, client_id, issuer.token()).status_code == 401
    server.review = yes
    assert shows(its, client_id, issuer.token()).status_code == 200


def test_with_nothing_kept_the_cluster_is_asked_each_time(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server, lookup_seconds=0)
    assert [shows(its, client_id, issuer.token()).status_code for _ in range(2)] == [200, 200]
    assert len(server.asked) == 4
    server.review = no_longer()
    assert shows(its, client_id, issuer.token()).status_code == 401


WITHOUT_AN_ANSWER = {
    "401 Unauthorized": "the API server does not accept the token in the file cluster-a.token",
    "403 Forbidden": "may not create tokenreviews. Apply the output of authsec issuers rbac cluster-a",
    "404 Not Found": "the answer to a TokenReview is not a TokenReview",
    "500 Internal Server Error": "answered 500",
    "302 Found": "redirects",
}


def test_a_cluster_that_does_not_answer_proves_nothing(
    house: House, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Callers hear that it cannot be checked now; why, the log says, and the page of the trusted issuer."""
    its, issuer, client_id = set_up(house, server, local_operator=True)
    door = its.door()
    assert shows(its, client_id, issuer.token()).status_code == 200
    for server.fails, said in WITHOUT_AN_ANSWER.items():
        its.clock.at += timedelta(minutes=1)
        answer = shows(its, client_id, issuer.token(), door=door)
        assert (answer.status_code, answer.json()["reason"], answer.json()["retryable"]) == (503, "unavailable", True)
        assert said not in answer.text
        logged = capsys.readouterr().out
        assert said in logged
        state = door.get("/authsec/api/v1/issuers/cluster-a/lookups").json()
        assert said in state["token_review"]["failure"]
        assert state["token_review"]["answered_at"] == "2026-11-25T12:00:00Z"
        assert state["token_review"]["failed_at"] > "2026-11-25T12:00:00Z"
        assert state["pod_lookup"]["failure"] is None
        assert issuer.token() not in logged + str(state)
        assert OWN_TOKEN not in logged + str(state)


def test_a_dead_cluster_is_left_alone_for_a_moment(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server)
    server.fails = "503 Service Unavailable"
    assert [shows(its, client_id, issuer.token()).status_code for _ in range(5)] == [503] * 5
    assert len(server.asked) == 1
    server.fails = ""
    assert shows(its, client_id, issuer.token()).status_code == 503
    its.clock.at += timedelta(seconds=2)
    assert shows(its, client_id, issuer.token()).status_code == 200


def test_the_file_of_credentials_is_read_anew_at_each_use(house: House, server: ApiServer) -> None:
    its, issuer, client_id = set_up(house, server, lookup_seconds=0)
    (server.folder / "cluster-a.token").unlink()
    assert shows(its, client_id, issuer.token()).status_code == 503
    server.write("renewed")
    assert shows(its, client_id, issuer.token()).status_code == 200
    assert {*server.authorization} == {"Bearer renewed"}


def test_whether_it_works_can_be_asked_before_an_agent_needs_it(house: House, server: ApiServer) -> None:
    its, _, _ = set_up(house, server, local_operator=True)
    door, path = its.door(), "/authsec/api/v1/issuers/cluster-a/lookups"
    assert [state["answered_at"] for state in door.get(path).json().values()] == [None, None]
    server.review = no_longer()
    assert [state["answered_at"] for state in door.post(path).json().values()] == ["2026-11-25T12:00:00Z"] * 2
    assert server.reviewed()[0]["spec"]["token"] == "none"
    assert server.asked[1].startswith("/api/v1/namespaces/default/pods/")
    server.write("")
    assert all("cluster-a.token" in state["failure"] for state in door.post(path).json().values())


def test_what_a_silent_cluster_would_stop_is_not_turned_on_unless_it_is_wanted_anyway(
    house: House, server: ApiServer
) -> None:
    off = {"token_review": False, "pod_lookup": False}
    its, issuer, client_id = set_up(house, server, *BY_TOKEN, local_operator=True, **off)
    door, path = its.door(), "/authsec/api/v1/issuers/cluster-a"

    def edit(**changes: Any) -> Any:
        return door.patch(path, json=changes, headers={"If-Match": door.get(path).headers["ETag"]})

    server.fails = "403 Forbidden"
    for change in ({"token_review": True}, {"pod_lookup": True}):
        refused = edit(**change)
        assert refused.status_code == 409
        assert "nothing was saved" in refused.json()["error"]
        assert "may not" in refused.json()["error"]
        assert "authsec issuers rbac cluster-a" in refused.json()["details"]
    assert door.get(path).json()["revision"] == 1
    assert shows(its, client_id, issuer.token()).status_code == 200
    server.fails = ""
    assert edit(token_review=True).status_code == 200
    assert shows(its, client_id, issuer.token(jti="later")).status_code == 200
    moved = edit(credentials="not-there")
    assert "no file not-there" in moved.json()["error"]
    assert edit(credentials="not-there", anyway=True).status_code == 200
    its.clock.at += timedelta(minutes=1)
    assert shows(its, client_id, issuer.token(jti="last")).status_code == 503
    assert edit(token_review=False).status_code == 200  # off is always possible
    assert shows(its, client_id, issuer.token(jti="last")).status_code == 200


def test_an_api_server_with_another_certificate_is_not_believed(house: House, server: ApiServer, peers: Any) -> None:
    its, issuer, client_id = set_up(house, server, api_ca=peers.Certificate("localhost").pem.decode())
    assert shows(its, client_id, issuer.token()).status_code == 503
    assert server.asked == []


def test_without_a_way_to_ask_nothing_is_proved() -> None:
    its = kubernetes()
    its.trusted_issuer = replace(its.trusted_issuer, api_server="https://10.0.0.1", credentials="t", token_review=True)
    with pytest.raises(Unavailable):
        ask(its.token(), [its], proof(its, *BY_TOKEN))
    its.trusted_issuer = replace(its.trusted_issuer, token_review=False)
    assert isinstance(ask(its.token(), [its], proof(its, *BY_TOKEN)), Proved)


class Says:
    """A cluster that knows one pod, and says yes to every token that is of it."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told

    def review(self, _trusted_issuer: Any, _token: str, _audience: str, read: Callable[[Any], Any]) -> Any:
        return read(review())

    def pod(self, _trusted_issuer: Any, _namespace: str, _name: str, read: Callable[[Any], Any]) -> Any:
        return read(self.told)


EVERY = (*FOUR, ("k8s:pod-owner:ReplicaSet", "customer-support-7f9c5b4d6"), ("k8s:container-image", "busybox:1"))
LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["customer-support", "x", ""]))
NAMES = st.sampled_from(["agent", "customer-support", "proxy"])
CONTAINERS = st.lists(st.fixed_dictionaries({"name": NAMES, "image": st.sampled_from(["busybox:1", "busybox:2"])}))


@given(
    wanted=st.sets(st.sampled_from(EVERY), min_size=1),
    labels=LABELS,
    owner=st.sampled_from(["customer-support-7f9c5b4d6", "another"]),
    containers=CONTAINERS,
    looked_up=st.booleans(),
)
def test_no_pod_that_lacks_one_registered_selector_ever_gets_in(
    wanted: set[tuple[str, str]], labels: dict[str, str], owner: str, containers: list[dict[str, str]], looked_up: bool
) -> None:
    its = kubernetes()
    its.trusted_issuer = replace(
        its.trusted_issuer, api_server="https://10.0.0.1", credentials="t", token_review=True, pod_lookup=looked_up
    )
    metadata = {"labels": labels, "ownerReferences": [{"kind": "ReplicaSet", "name": owner}]}
    apis: Any = Says(pod(metadata, {"containers": containers, "initContainers": []}))
    workloads = Workloads(
        finder(its),
        issuer=US,
        trust_domain="example.org",
        clusters=Clusters(apis, seconds=30, monotonic=lambda: 0.0),
    )
    shown = {*BY_TOKEN}
    if looked_up:
        shown |= {(f"k8s:pod-label:{name}", value) for name, value in labels.items()}
        shown |= {("k8s:container-name", each["name"]) for each in containers}
        shown |= {("k8s:container-image", each["image"]) for each in containers}
        shown.add(("k8s:pod-owner:ReplicaSet", owner))
    evidence = Evidence(scheme=Scheme.BEARER, credential=its.token())
    known = {its.trusted_issuer.id: its.trusted_issuer}
    for _ in range(2):  # and what is remembered says no more
        outcome = attest(client(proof(its, *wanted)), known, evidence, workloads=workloads, issuer=US, now=NOW)
        assert isinstance(outcome, Proved) is (wanted <= shown)
