"""What a cluster has to permit for look-ups, in YAML for `kubectl apply`: an account that may do these, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from authsec_server.cli.reach import CallFailed

NAMESPACE = "authsec"
ACCOUNT = "authsec-lookups"
_REVIEWS = {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


def prepared(source: Mapping[str, Any], wanted: Mapping[str, bool]) -> dict[str, Any]:
    """The cluster as if what is wanted of it were on; with nothing wanted, what is on, and if nothing is, both.

    Raises `CallFailed` for what is no cluster.
    """
    if source["kind"] != "kubernetes":
        raise CallFailed(f"{source['slug']} is no Kubernetes cluster, so nothing is looked up in it.")
    on = {name: source[name] for name in wanted}
    asked = wanted if any(wanted.values()) else on if any(on.values()) else dict.fromkeys(wanted, True)
    return {**source, **asked, "credentials": source["credentials"] or f"{source['slug']}.token"}


def permissions(source: Mapping[str, Any], namespace: str = NAMESPACE, account: str = ACCOUNT) -> str:
    """The account, its role and what binds them, for the look-ups of this source that are on."""
    rules = [*([_REVIEWS] if source["token_review"] else []), *([_PODS] if source["pod_lookup"] else [])]
    rbac = "rbac.authorization.k8s.io"
    named = {"name": account, "namespace": namespace}
    made = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": ACCOUNT}, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": ACCOUNT},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", **named}],
        },
    ]
    return "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in made)


def token_command(source: Mapping[str, Any], namespace: str = NAMESPACE, account: str = ACCOUNT) -> str:
    """The line that puts the account's token where the authority reads it, readable by its owner alone."""
    return (
        f"(umask 077; kubectl create token {account} --namespace {namespace} --duration 24h "
        f'> "$AUTHSEC_SERVER_CREDENTIALS_DIR/{source["credentials"]}")'
    )


def steps(source: Mapping[str, Any]) -> list[str]:
    """What is still to be done, for people."""
    return [
        "",
        "Apply this in the cluster, so that it may be asked:",
        "",
        *permissions(source).splitlines(),
        "",
        "And put that account's token where this authority reads it, on its machine; again before it expires, at best "
        "by a timer, since the file is read at each use:",
        "",
        f"    {token_command(source)}",
        "",
        f"Then `authsec trust check {source['slug']}` says whether it works.",
    ]
