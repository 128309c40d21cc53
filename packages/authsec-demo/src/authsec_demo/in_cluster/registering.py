"""The administrator's steps: add the cluster as a trusted issuer, and onboard the agent by its selectors."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx2
import yaml
from authsec_server.cli.issuers_add import permissions
from authsec_server.issuers.model import Provenance, shown_provenance
from rich.table import Table

from authsec_demo.administrator import Administrator
from authsec_demo.cluster.running import Cluster
from authsec_demo.commands import result
from authsec_demo.in_cluster.place import LOOKUP_TOKEN, Place
from authsec_demo.servers import Servers
from authsec_demo.stage import Stage, check

NAMESPACE: Final = "production"
ACCOUNT: Final = "customer-support-sa"
CONTAINER: Final = "agent"
SELECTORS: Final = {
    "k8s:ns": NAMESPACE,
    "k8s:sa": ACCOUNT,
    "k8s:pod-label:app": "customer-support",
    "k8s:container-name": CONTAINER,
}
PROVED_BY: Final = {
    "k8s:ns": "token",
    "k8s:sa": "token",
    "k8s:pod-label:app": "lookup",
    "k8s:container-name": "lookup",
}
_ADD: Final = ("issuers", "add", "kubernetes", "Production", "--from-kubeconfig")
_LOOK_UPS: Final = ("--token-review", "--pod-lookup", "--credentials", LOOKUP_TOKEN)
_A_DAY: Final = 24 * 3600


def register(stage: Stage, servers: Servers, place: Place) -> str:
    """Add the cluster as a trusted issuer. Return the slug of the trusted issuer.

    Also give the authority a token with which it may review tokens and look up pods in the cluster.
    """
    why = "The cluster signs the tokens of its pods. The authority asks the cluster about each token and each pod."
    with stage.step("Add the cluster as a trusted issuer", why):
        stage.said("administrator", f"authsec {' '.join(_ADD)}")
        stage.said("", " ".join(_LOOK_UPS))
        trusted_issuer = result(*_ADD, *_LOOK_UPS, variables=as_administrator(servers, place))
        found = {name: trusted_issuer[name] for name in ("issuer", "token_review", "pod_lookup")}
        wanted = {"issuer": place.cluster.issuer, "token_review": True, "pod_lookup": True}
        check(found == wanted, expected=json.dumps(wanted), came=json.dumps(found))
        stage.fact("added", f"{trusted_issuer['name']}: its issuer, its keys and its API server")
        stage.said("administrator", f"authsec issuers rbac {trusted_issuer['slug']} | kubectl apply -f -")
        account = _permit(place.cluster, permissions(trusted_issuer))
        token = place.cluster.token(*account, seconds=_A_DAY)
        check_it_may_no_more(place.cluster, token)
        (place.credentials / LOOKUP_TOKEN).write_text(token, encoding="ascii")
        stage.fact("permitted", f"{'/'.join(account)} may review tokens and get a pod, and nothing else")
        stage.fact("its token", "is in a file, which the authority reads at each use")
    return str(trusted_issuer["slug"])


def onboard(stage: Stage, admin: Administrator, trusted_issuer: str) -> Mapping[str, Any]:
    """Register the agent "Customer Support" with four selectors. Return the agent from the authority's response."""
    why = "The selectors identify the agent in Kubernetes. The authority shows how each selector is proved."
    with stage.step('Onboard the agent "Customer Support"', why):
        agent = admin.onboard_workload("Customer Support", SELECTORS, trusted_issuer)
        (proof,) = agent["proofs"]
        check(
            agent["can_prove_itself"] and not agent["unattested"] and proof["provenance"] == PROVED_BY,
            expected=f"an agent that must authenticate: {json.dumps(PROVED_BY)}",
            came=json.dumps(agent),
        )
        stage.fact("client_id", agent["client_id"])
        stage.fact("selectors", "all four selectors must be proved:")
        stage.show(selector_table(proof["provenance"]))
    return agent


def selector_table(proved_by: Mapping[str, str]) -> Table:
    """Return a table that shows for each selector what verifies it: the pod's token or a look-up in the cluster."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for key, value in SELECTORS.items():
        table.add_row(key, value, shown_provenance(key, Provenance(proved_by[key])))
    return table


def as_administrator(servers: Servers, place: Place) -> dict[str, str]:
    """Return the environment variables for commands of an administrator: the admin key and the cluster's kubeconfig."""
    return {
        "AUTHSEC_BASE_URL": servers.authority_url,
        "AUTHSEC_ADMIN_KEY": servers.admin_key,
        "KUBECONFIG": str(place.kubeconfig),
    }


def _permit(cluster: Cluster, manifest: str) -> tuple[str, str]:
    """Apply the YAML manifest to the cluster. Return the namespace and the name of the manifest's service account."""
    documents = list(yaml.safe_load_all(manifest))
    for document in documents:
        cluster.apply(document)
    (account,) = (each["metadata"] for each in documents if each["kind"] == "ServiceAccount")
    return account["namespace"], account["name"]


def check_it_may_no_more(cluster: Cluster, token: str) -> None:
    """Check that the cluster refuses to list pods or service accounts for this token."""
    trust = ssl.create_default_context(cadata=cluster.authority.decode("ascii"))
    headers = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=cluster.url, verify=trust, headers=headers, trust_env=False, timeout=10) as http:
        for path in ("/api/v1/pods", "/api/v1/namespaces/default/serviceaccounts"):
            status = http.get(path).status_code
            check(status == 403, expected=f"403 for {path}", came=str(status))
