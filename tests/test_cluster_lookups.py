"""A cluster that is asked, from end to end: the commands of an administrator, an API server that judges by its RBAC,
pods with the tokens that their kubelet would mount, and an agent with the SDK.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from authsec import AuthSecClient, AuthSecConfig, ServerError, TokenRequestError
from authsec.credentials import ProjectedToken
from authsec.verifier import TokenVerifier, VerifiedToken
from authsec_demo.cluster.running import Cluster, running_cluster

pytestmark = pytest.mark.soak  # test_next_step_of_a_pod has the same cluster

FOUR = {
    "k8s:ns": "production",
    "k8s:sa": "customer-support-sa",
    "k8s:pod-label:app": "customer-support",
    "k8s:container-name": "agent",
}
ADD = ("issuers", "add", "kubernetes", "Production", "--from-kubeconfig", "--token-review", "--pod-lookup")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        running.create_account("production", FOUR["k8s:sa"])
        yield running


@pytest.fixture
def its(cluster: Cluster, serving: Any, tmp_path: Path) -> Iterator[Any]:
    """An authority that may ask that cluster, and asks each time."""
    (tmp_path / "credentials").mkdir()
    with serving(tmp_path, "") as serve:
        yield serve(
            AUTHSEC_SERVER_CREDENTIALS_DIR=str(tmp_path / "credentials"),
            AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS="127.0.0.1",
            AUTHSEC_SERVER_LOOKUP_SECONDS="0",
            KUBECONFIG=str(cluster.kubeconfig(tmp_path / "kubeconfig")),
        )


def permit(its: Any, cluster: Cluster, file: Path) -> None:
    """What `authsec issuers rbac` says, done."""
    documents = list(yaml.safe_load_all(its.cli("issuers", "rbac", "production")))
    for document in documents:
        cluster.apply(document)
    account = documents[1]["metadata"]
    file.write_text(cluster.token(account["namespace"], account["name"]))


def test_a_pod_proves_all_four_selectors_until_it_is_gone(its: Any, cluster: Cluster, tmp_path: Path) -> None:
    its.cli(*ADD, "--credentials", "production")
    selectors = [{"key": key, "value": value} for key, value in FOUR.items()]
    its.role("Support", "customers:read")
    made = its.post("clients", name="Customer Support", platform="kubernetes", selectors=selectors)
    agent = type("Agent", (), {"client_id": made["client_id"]})
    its.delegate("support", agent, "customers:read")
    config = AuthSecConfig(base_url=its.url, client_id=agent.client_id)

    def runs(name: str, **what: Any) -> None:
        label, container = what.get("label", FOUR["k8s:pod-label:app"]), what.get("container", "agent")
        images = {container: "registry.example.com/agent:1", "proxy": "registry.example.com/proxy:2"}
        account, labels = FOUR["k8s:sa"], {"app": label}
        pod = cluster.run_pod("production", name, account=account, labels=labels, containers=images)
        (tmp_path / name).write_text(cluster.token("production", account, pod=pod, audiences=[its.url]))

    def gets_in(name: str) -> VerifiedToken:
        token = AuthSecClient(config, credential=ProjectedToken(path=tmp_path / name)).get_delegation_token()
        return TokenVerifier(its.url, "authsec-api").verify(token)

    def tried(name: str) -> dict[str, str]:
        steps = its.post("issuers/production/try", token=(tmp_path / name).read_text())["steps"]
        return {step["step"]: f"{step['state']}: {step['said']}" for step in steps}

    def refused(name: str) -> str:
        with pytest.raises(TokenRequestError) as caught:
            gets_in(name)
        return caught.value.reason

    runs("agent")
    with pytest.raises(ServerError):  # nobody has put its token there yet
        gets_in("agent")
    (tmp_path / "credentials" / "production").write_text(cluster.token("production", FOUR["k8s:sa"]))
    with pytest.raises(ServerError):  # an account that may not ask
        gets_in("agent")
    seen = its.post("issuers/production/lookups")
    assert "may not create tokenreviews" in seen["token_review"]["failure"]
    assert "may not get pods" in seen["pod_lookup"]["failure"]
    assert "may not create tokenreviews" in tried("agent")["review"]

    permit(its, cluster, tmp_path / "credentials" / "production")
    assert its.cli("issuers", "check", "production").count("answered at") == 2
    verified = gets_in("agent")
    assert set(verified.attestation.selectors) == set(FOUR)
    assert verified.attestation.validation == "token_review"
    (issued, *_) = its.admin.get("events", params={"kind": "token.issued"}).json()["items"]
    assert issued["detail"]["proved_by"] == {
        "k8s:ns": "token",
        "k8s:sa": "token",
        "k8s:pod-label:app": "lookup",
        "k8s:container-name": "lookup",
    }

    shown = its.cli("issuers", "try", "production", str(tmp_path / "agent"))
    assert "The token matches a proof of Customer Support" in shown
    assert "by look-up: the pod has such a container" in shown

    runs("another", label="billing")
    assert refused("another") == "selectors_mismatch"
    runs("stranger", container="main")
    assert refused("stranger") == "selectors_mismatch"

    cluster.delete_pod("production", "agent")
    assert refused("agent") == "attestation_invalid"
    assert tried("agent")["review"].startswith("fails: The cluster says that this token is no longer valid")
    token = (tmp_path / "agent").read_text()
    runs("agent")
    assert gets_in("agent").client_id == agent.client_id
    (tmp_path / "agent").write_text(token)
    assert refused("agent") == "attestation_invalid", "the pod that has its name now is another"
    assert token not in its.log.read_text() + json.dumps(its.admin.get("events").json())
