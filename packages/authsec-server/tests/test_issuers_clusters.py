"""The API server of a cluster: what may be registered of it, what it lets the cluster prove, and what an edit ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from authsec_server.failures import Invalid
from authsec_server.issuers import service
from authsec_server.issuers.model import (
    ClusterApi,
    ProposedTrustedIssuer,
    Provenance,
    TrustedIssuer,
    provable,
    provenance,
    shown_provenance,
)
from authsec_server.issuers.validation import checked, edited
from authsec_server.revocations.model import SubjectKind
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
CLUSTER: dict[str, Any] = {
    "name": "Production",
    "kind": "kubernetes",
    "issuer": "https://k8s.example.com",
    "keys_from": "discovery",
}
ASKED: dict[str, Any] = {
    "api_server": "https://10.0.0.1:6443/k8s/clusters/c-1/",
    "credentials": "production.token",
    "token_review": True,
    "pod_lookup": True,
}


def trusted_issuer(**what: Any) -> TrustedIssuer:
    return checked(ProposedTrustedIssuer(**{**CLUSTER, **what}), id="an id", now=NOW)


def after(before: TrustedIssuer, **changes: Any) -> TrustedIssuer:
    return replace(before, **edited(before, changes))


def test_a_cluster_with_its_api_server(peers: Any) -> None:
    ca = peers.Certificate("x").pem.decode()
    made = trusted_issuer(**ASKED, api_ca=f"# theirs\n{ca}")
    assert made.cluster == ClusterApi(
        url="https://10.0.0.1:6443/k8s/clusters/c-1", ca=ca, credentials="production.token", reviews=True, pods=True
    )
    assert trusted_issuer().cluster is None


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"api_server": "http://10.0.0.1"}, "api_server"),
    ({"api_server": "http://127.0.0.1:6443"}, "api_server"),
    ({"api_server": "https://10.0.0.1?a"}, "api_server"),
    ({"api_server": "https://user:password@10.0.0.1"}, "api_server"),
    ({"api_server": "10.0.0.1:6443"}, "api_server"),
    ({"api_server": ""}, "api_server"),
    ({"api_ca": "-----BEGIN"}, "api_ca"),
    ({"credentials": ""}, "credentials"),
    ({"kind": "oidc", "preset": "github"}, "api_server"),
    ({"kind": "oidc", "preset": "github", "api_server": "", "credentials": "", "token_review": False}, "pod_lookup"),
]


@pytest.mark.parametrize(("what", "field"), REFUSED)
def test_what_is_refused_is_named(what: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        trusted_issuer(**{**ASKED, **what})
    assert caught.value.field == field
    assert caught.value.remedy


@given(st.text(max_size=12), st.sampled_from(["/", "\\", "\0", ":", "\n", "%"]), st.text(max_size=12))
def test_the_name_of_a_file_never_leads_out_of_its_folder(before: str, separator: str, behind: str) -> None:
    for name in (before + separator + behind, f".{before}", "..", " ", f"-{before}"):
        with pytest.raises(Invalid):
            trusted_issuer(**{**ASKED, "credentials": name})


def test_what_is_looked_up_is_proved_so_and_only_where_it_is_on() -> None:
    on, reviews_only = trusted_issuer(**ASKED), trusted_issuer(**{**ASKED, "pod_lookup": False})
    looked_up = ("k8s:pod-label:app", "k8s:pod-owner:ReplicaSet", "k8s:container-name", "k8s:container-image")
    for key in looked_up:
        assert provenance(on, key) is Provenance.LOOKUP
        assert provenance(reviews_only, key) is provenance(trusted_issuer(), key) is Provenance.NEVER
    for key in ("k8s:ns", "k8s:sa", "k8s:pod-name", "k8s:pod-uid", "k8s:node-name"):
        assert provenance(on, key) is Provenance.TOKEN
    for key in ("k8s:pod-labels", "k8s:container-names", "k8s:pod", "docker:label:app", "unix:uid"):
        assert provenance(on, key) is Provenance.NEVER
    assert {"k8s:pod-label:*", "k8s:container-name", "k8s:ns"} <= {*provable(on)}
    assert "k8s:container-name" not in provable(reviews_only)


def test_of_containers_no_more_is_said_than_a_look_up_tells() -> None:
    said = {key: shown_provenance(key, Provenance.LOOKUP) for key in ("k8s:pod-label:app", "k8s:container-name")}
    assert said == {
        "k8s:pod-label:app": "proved by look-up",
        "k8s:container-name": "by look-up: the pod has such a container",
    }
    assert shown_provenance("k8s:container-name", Provenance.SPIRE) == "enforced by SPIRE"


def test_an_edit_changes_what_it_names() -> None:
    made = trusted_issuer(**ASKED)
    assert made.cluster is not None
    assert after(made, name="Other").cluster == made.cluster
    assert after(made, pod_lookup=False).cluster == replace(made.cluster, pods=False)
    assert after(made, api_server="").cluster is None, "whoever takes the address away wants nothing asked"


def test_certificates_go_with_the_server_that_they_were_for(peers: Any) -> None:
    ca = peers.Certificate("x").pem.decode()
    made = trusted_issuer(**ASKED, api_ca=ca)
    assert made.cluster is not None
    assert after(made, api_server=made.cluster.url).cluster == made.cluster
    moved = after(made, api_server="https://other.example.com").cluster
    assert moved == replace(made.cluster, url="https://other.example.com", ca="")


ENDS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"token_review": False}, {"token_review": True}, True),
    ({}, {"token_review": False}, False),
    ({}, {"pod_lookup": False}, True),
    ({"pod_lookup": False}, {"pod_lookup": True}, False),
    ({}, {"api_server": "https://other.example.com"}, True),
    ({"token_review": False, "pod_lookup": False}, {"api_server": "https://other.example.com"}, False),
    ({}, {"credentials": "other"}, False),
    ({"token_review": False}, {"api_server": ""}, True),
    ({"pod_lookup": False}, {"api_server": ""}, False),
]


@pytest.mark.parametrize(("what", "changes", "ends"), ENDS)
def test_tokens_end_where_what_proved_them_may_no_longer(
    estate: Any, what: dict[str, Any], changes: dict[str, Any], ends: bool
) -> None:
    asked = ProposedTrustedIssuer(**{**CLUSTER, **ASKED, **what})
    made = estate.do(lambda tx, act: service.create(tx, act, asked, may_look_up=True))
    assert estate.see(lambda tx, act: service.get(tx, act, made.id)) == made
    estate.do(lambda tx, act: service.edit(tx, act, made.id, revision=1, changes=changes, may_look_up=True))
    assert [subject for kind, subject, _ in estate.endings() if kind is SubjectKind.TRUSTED_ISSUER] == [made.id] * ends


def test_the_audit_log_names_certificates_by_their_sum(estate: Any, peers: Any) -> None:
    asked = ProposedTrustedIssuer(**CLUSTER, **ASKED, api_ca=peers.Certificate("x").pem.decode())
    estate.do(lambda tx, act: service.create(tx, act, asked, may_look_up=True))
    (event,) = estate.events("issuer.")
    assert "BEGIN" not in str(event.detail)
    assert event.detail["cluster"] | {"ca_sha256": []} == {
        "url": "https://10.0.0.1:6443/k8s/clusters/c-1",
        "credentials": "production.token",
        "reviews": True,
        "pods": True,
        "ca_sha256": [],
    }
    assert len(event.detail["cluster"]["ca_sha256"]) == 1


def test_without_a_folder_of_credentials_nothing_can_be_looked_up(admin: TestClient) -> None:
    answer = admin.post("/authsec/api/v1/issuers", json={**CLUSTER, **ASKED})
    assert (answer.status_code, answer.json()["field"]) == (400, "credentials")
    assert "AUTHSEC_SERVER_CREDENTIALS_DIR" in answer.json()["details"]
    made = admin.post("/authsec/api/v1/issuers", json=CLUSTER).json()
    assert (made["api_server"], made["credentials"], made["token_review"], made["pod_lookup"]) == (
        None,
        None,
        False,
        False,
    )
    late = admin.patch("/authsec/api/v1/issuers/production", json=ASKED, headers={"If-Match": '"1"'})
    assert (late.status_code, late.json()["field"]) == (400, "credentials")


def test_an_api_server_over_http_and_back(house: Any, tmp_path: Any) -> None:
    admin = house(local_operator=True, credentials_dir=tmp_path).door()
    made = admin.post("/authsec/api/v1/issuers", json={**CLUSTER, **ASKED}).json()
    assert (made["api_server"], made["api_ca"]) == ("https://10.0.0.1:6443/k8s/clusters/c-1", None)
    assert (made["credentials"], made["token_review"], made["pod_lookup"]) == ("production.token", True, True)
    assert "k8s:pod-label:*" in made["proves"]
    one = {"If-Match": '"1"'}
    changed = admin.patch("/authsec/api/v1/issuers/production", json={"pod_lookup": False}, headers=one).json()
    assert (changed["pod_lookup"], changed["token_review"], changed["revision"]) == (False, True, 2)
