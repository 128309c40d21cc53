"""What an agent needs where it runs, and `authsec issuers bind` and `remove`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from authsec_server.cli.agents_deploy import spire_entries
from authsec_server.clients.k8s_manifest import unreachable
from click.testing import Result
from workload_evidence import kubernetes, spire

Authsec = Callable[..., Result]
CREATE = ("agents", "create", "Support", "--platform", "kubernetes", "--selector", "k8s:ns=production", "--selector")


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def trusted(authsec: Authsec, tmp_path: Path, name: str = "prod") -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(kubernetes().jwks))
    done(authsec("issuers", "add", "kubernetes", name, "--issuer", f"https://{name}.example", "--jwks", str(keys)))


def test_an_agent_says_how_each_selector_is_proved(authsec: Authsec, tmp_path: Path) -> None:
    for name in ("prod", "staging"):
        trusted(authsec, tmp_path, name)
    refused = authsec(*CREATE, "k8s:sa=support")
    assert refused.exit_code != 0
    assert "2 trusted issuers can prove" in refused.stderr
    created = done(authsec(*CREATE, "k8s:sa=support", "--trusted-issuer", "prod"))
    assert "k8s:ns = production  (proved by the token)" in created
    assert "proved by prod (prod)" in done(authsec("agents", "show", "support"))


def test_those_that_wait_are_shown_bound_and_taken_away(authsec: Authsec, tmp_path: Path) -> None:
    assert "Kubernetes workloads need" in done(authsec(*CREATE, "k8s:sa=support"))
    trusted(authsec, tmp_path)
    waiting = done(authsec("issuers", "bind", "prod"))
    assert "k8s:sa = support" in waiting
    assert "authsec issuers bind prod --all" in waiting
    assert "Support" in done(authsec("issuers", "bind", "prod", "--all"))
    assert "No proof waits" in done(authsec("issuers", "bind", "prod"))
    assert "No proof could be bound" in done(authsec("issuers", "bind", "prod", "--all"))
    kept = authsec("issuers", "remove", "prod")
    assert kept.exit_code != 0
    assert "Clients without another proof: Support" in kept.stderr
    assert "prod is removed, and 1 proofs with it." in done(
        authsec("issuers", "remove", "prod", "--with-proofs", "--yes")
    )
    assert authsec("issuers", "bind", "prod", "x", "--all").exit_code == 2


def test_a_manifest_for_the_cluster(authsec: Authsec, tmp_path: Path) -> None:
    trusted(authsec, tmp_path)
    agent = json.loads(done(authsec(*CREATE, "k8s:sa=support-sa", "--json")))
    account, deployment = yaml.safe_load_all(done(authsec("agents", "manifest", "support")))
    assert account["metadata"] == {"name": "support-sa", "namespace": "production"}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "support-sa"
    (container,) = pod["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["AUTHSEC_AGENT_CLIENT_ID"] == agent["client_id"]
    assert environment["AUTHSEC_BASE_URL"].startswith("http")
    assert container["volumeMounts"][0]["mountPath"] == "/var/run/secrets/authsec"
    (projected,) = pod["volumes"][0]["projected"]["sources"]
    trusted_issuer = json.loads(done(authsec("issuers", "show", "prod", "--json")))
    wanted = {"audience": trusted_issuer["token_audience"], "expirationSeconds": 3600, "path": "token"}
    assert projected["serviceAccountToken"] == wanted


def test_a_manifest_names_the_api_that_is_delegated(authsec: Authsec, tmp_path: Path) -> None:
    trusted(authsec, tmp_path)
    done(authsec(*CREATE, "k8s:sa=support-sa"))
    before = authsec("agents", "manifest", "support")
    assert api_of(done(before)) == "https://your-api.example.com"
    assert "Replace https://your-api.example.com with the URL of the API" in before.stderr
    done(authsec("roles", "create", "Support", "--action", "crm:read"))
    terms = ("--target", "AutoGen AI agent", "--action", "crm:read", "--audience", "https://crm.example.com")
    done(authsec("delegations", "create", "--role", "support", "--agent", "support", *terms))
    after = authsec("agents", "manifest", "support")
    assert api_of(done(after)) == "https://crm.example.com"
    assert "your-api" not in after.stderr


def api_of(manifest: str) -> str:
    _, deployment = yaml.safe_load_all(manifest)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (url,) = [each["value"] for each in container["env"] if each["name"] == "DOWNSTREAM_URL"]
    return str(url)


def test_what_a_manifest_cannot_bring_about_is_said(authsec: Authsec) -> None:
    kept = {"k8s:pod-label:team": "care", "k8s:container-name": "worker", "k8s:container-image": "registry.example/a:1"}
    lost = {
        "k8s:pod-name": "support-0",
        "k8s:pod-uid": "5b2cb9d4-4a36-4f5b-9f0e-8d6a9a0f1c22",
        "k8s:node-name": "worker-1",
        "k8s:pod-owner:ReplicaSet": "support-7f9c",
    }
    asked = [word for key, value in (kept | lost).items() for word in ("--selector", f"{key}={value}")]
    done(authsec(*CREATE, "k8s:sa=support-sa", *asked))
    result = authsec("agents", "manifest", "support")
    comments = [line for line in done(result).splitlines() if line.startswith("#")]
    assert comments[0] == "# The proof also needs these selectors, which are not in this manifest:"
    for key, value in lost.items():
        assert any(f"{key} = {value}: " in line for line in comments)
        assert f"{key} = {value}: " in result.stderr
    assert len(comments) == 2 + len(lost)
    account, deployment = yaml.safe_load_all(result.stdout)
    spec = deployment["spec"]
    assert account["kind"] == "ServiceAccount"
    assert (
        spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"] == {"app": "support", "team": "care"}
    )
    (container,) = spec["template"]["spec"]["containers"]
    assert (container["name"], container["image"]) == ("worker", "registry.example/a:1")
    as_json = json.loads(done(authsec("agents", "manifest", "support", "--json")))
    assert len(as_json["left_out"]) == len(lost)


def test_an_image_that_nobody_named_is_left_to_be_written(authsec: Authsec) -> None:
    done(authsec(*CREATE, "k8s:sa=support-sa"))
    result = authsec("agents", "manifest", "support")
    (comment,) = [line for line in done(result).splitlines() if "#" in line]
    assert comment.startswith("# In a pod, http://127.0.0.1:7468 is the pod itself")
    assert "AUTHSEC_SERVER_PUBLIC_URL" in result.stderr
    assert "Replace IMAGE with the agent's image." in result.stderr


def test_a_workload_that_spire_knows_is_sent_to_spire(authsec: Authsec, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps(spire().jwks))
    done(authsec("issuers", "add", "spiffe", "ours", "--trust-domain", "authsec.internal", "--bundle", str(bundle)))
    assert "enforced by SPIRE" in done(authsec(*CREATE, "k8s:sa=support"))
    refused = authsec("agents", "manifest", "support")
    assert refused.exit_code != 0
    assert "authsec agents spire-entry support" in refused.stderr
    assert "The agent cannot authenticate with SVIDs yet" not in authsec("agents", "spire-entry", "support").stderr


def test_an_agent_with_a_proof_of_its_own_needs_no_manifest(authsec: Authsec) -> None:
    done(authsec("agents", "create", "Own", "--platform", "secret"))
    refused = authsec("agents", "manifest", "own")
    assert refused.exit_code == 1
    assert "own authenticates with a secret" in refused.stderr
    assert "AUTHSEC_AGENT_SECRET_FILE" in refused.stderr
    assert "another platform" not in refused.stderr


def test_no_warning_of_an_address_that_pods_reach() -> None:
    assert unreachable("https://authsec.example.com") == ""
    for address in ("http://127.0.0.1:7468", "http://localhost:1", "http://[::1]:7468"):
        assert address in unreachable(address)


SPIRES = {  # as the documentation of SPIRE's workload attestors writes what each platform's selectors are
    "kubernetes": {
        "k8s:ns=production": "k8s:ns:production",
        "k8s:pod-label:app.kubernetes.io/name=a": "k8s:pod-label:app.kubernetes.io/name:a",
        "k8s:pod-owner:ReplicaSet=a-7f9c": "k8s:pod-owner:ReplicaSet:a-7f9c",
        "k8s:container-image=registry.example/a:1": "k8s:container-image:registry.example/a:1",
    },
    "docker": {
        "docker:label:com.example.name=foo": "docker:label:com.example.name:foo",
        "docker:env:ENVIRONMENT=prod": "docker:env:ENVIRONMENT=prod",
        "docker:image_id=envoyproxy/envoy:contrib-v1.29.1": "docker:image_id:envoyproxy/envoy:contrib-v1.29.1",
    },
    "unix": {
        "unix:uid=1000": "unix:uid:1000",
        "unix:group=www-data": "unix:group:www-data",
        "unix:path=/usr/bin/nginx": "unix:path:/usr/bin/nginx",
        f"unix:sha256={'3a' * 32}": f"unix:sha256:{'3a' * 32}",
    },
}


@pytest.mark.parametrize("platform", SPIRES)
def test_the_selectors_of_an_entry_are_as_spire_spells_them(authsec: Authsec, platform: str) -> None:
    asked = [word for selector in SPIRES[platform] for word in ("--selector", selector)]
    done(authsec("agents", "create", "Support", "--platform", platform, *asked))
    words = shlex.split(done(authsec("agents", "spire-entry", "support")))
    assert [word for flag, word in pairwise(words) if flag == "-selector"] == [*SPIRES[platform].values()]
    (entry,) = json.loads(done(authsec("agents", "spire-entry", "support", "--json")))["entries"]
    assert [f"{each['type']}:{each['value']}" for each in entry["selectors"]] == [*SPIRES[platform].values()]


def test_an_entry_for_spire(authsec: Authsec) -> None:
    agent = json.loads(done(authsec(*CREATE, "k8s:pod-label:app=support", "--json")))
    line = done(authsec("agents", "spire-entry", "support", "--parent-id", "spiffe://authsec.internal/node"))
    assert f"-spiffeID {agent['spiffe_id']} -parentID spiffe://authsec.internal/node" in line
    assert "-selector k8s:ns:production -selector k8s:pod-label:app:support" in line
    (entry,) = json.loads(done(authsec("agents", "spire-entry", "support", "--json")))["entries"]
    assert entry["selectors"][1] == {"type": "k8s", "value": "pod-label:app:support"}
    assert entry["parent_id"].startswith("<")
    done(authsec("agents", "create", "Open", "--platform", "unattested"))
    for command in ("spire-entry", "manifest"):
        refused = authsec("agents", command, "open")
        assert refused.exit_code != 0
        assert "selectors" in refused.stderr


def test_spire_is_not_told_of_a_proof_that_has_expired() -> None:
    def proof(state: str, account: str) -> dict[str, object]:
        return {"state": state, "selectors": [{"key": "k8s:sa", "value": account}]}

    agent = {"spiffe_id": "spiffe://td/agent/1", "proofs": [proof("expired", "old"), proof("cannot_prove", "new")]}
    assert [each["value"] for entry in spire_entries(agent, "node") for each in entry["selectors"]] == ["sa:new"]
