"""What an agent needs where it runs, and `authsec trust bind` and `remove`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import yaml
from click.testing import Result
from workload_evidence import kubernetes

Authsec = Callable[..., Result]
CREATE = ("agents", "create", "Support", "--platform", "kubernetes", "--selector", "k8s:ns=production", "--selector")


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def trusted(authsec: Authsec, tmp_path: Path, name: str = "prod") -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(kubernetes().jwks))
    done(authsec("trust", "add", "kubernetes", name, "--issuer", f"https://{name}.example", "--jwks", str(keys)))


def test_an_agent_says_how_each_selector_is_proved(authsec: Authsec, tmp_path: Path) -> None:
    for name in ("prod", "staging"):
        trusted(authsec, tmp_path, name)
    refused = authsec(*CREATE, "k8s:sa=support")
    assert refused.exit_code != 0
    assert "2 trust sources could vouch" in refused.stderr
    created = done(authsec(*CREATE, "k8s:sa=support", "--source", "prod"))
    assert "k8s:ns = production  (proved by the token)" in created
    assert "by the word of prod (prod)" in done(authsec("agents", "show", "support"))


def test_those_that_wait_are_shown_bound_and_taken_away(authsec: Authsec, tmp_path: Path) -> None:
    assert "Kubernetes workloads are vouched for by" in done(authsec(*CREATE, "k8s:sa=support"))
    trusted(authsec, tmp_path)
    waiting = done(authsec("trust", "bind", "prod"))
    assert "k8s:sa = support" in waiting
    assert "authsec trust bind prod --all" in waiting
    assert "Support" in done(authsec("trust", "bind", "prod", "--all"))
    assert "No proof waits" in done(authsec("trust", "bind", "prod"))
    assert "Nothing waits" in done(authsec("trust", "bind", "prod", "--all"))
    kept = authsec("trust", "remove", "prod")
    assert kept.exit_code != 0
    assert "Nothing else lets in Support" in kept.stderr
    assert "prod is removed, and 1 proofs with it." in done(authsec("trust", "remove", "prod", "--with-proofs"))
    assert authsec("trust", "bind", "prod", "x", "--all").exit_code == 2


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
    source = json.loads(done(authsec("trust", "show", "prod", "--json")))
    wanted = {"audience": source["token_audience"], "expirationSeconds": 3600, "path": "token"}
    assert projected["serviceAccountToken"] == wanted


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
