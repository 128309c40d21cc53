"""The resource types of the cluster, and the API discovery documents about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

AUTHENTICATION: Final = "authentication.k8s.io"
RBAC: Final = "rbac.authorization.k8s.io"
_KEPT: Final = ["create", "delete", "get", "list", "patch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource type. `plural` is the name of the type in paths.

    The cluster stores the objects of the type only if `kept` is true.
    """

    group: str
    plural: str
    kind: str
    namespaced: bool
    kept: bool = True

    @property
    def api_version(self) -> str:
        """Return the `apiVersion` of the objects, for example `v1` or `apps/v1`. Every group has only version 1."""
        return f"{self.group}/v1" if self.group else "v1"


NAMESPACES: Final = Resource(group="", plural="namespaces", kind="Namespace", namespaced=False)
NODES: Final = Resource(group="", plural="nodes", kind="Node", namespaced=False)
PODS: Final = Resource(group="", plural="pods", kind="Pod", namespaced=True)
ACCOUNTS: Final = Resource(group="", plural="serviceaccounts", kind="ServiceAccount", namespaced=True)
DEPLOYMENTS: Final = Resource(group="apps", plural="deployments", kind="Deployment", namespaced=True)
REPLICA_SETS: Final = Resource(group="apps", plural="replicasets", kind="ReplicaSet", namespaced=True)
CLUSTER_ROLES: Final = Resource(group=RBAC, plural="clusterroles", kind="ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS: Final = Resource(
    group=RBAC, plural="clusterrolebindings", kind="ClusterRoleBinding", namespaced=False
)
ROLES: Final = Resource(group=RBAC, plural="roles", kind="Role", namespaced=True)
ROLE_BINDINGS: Final = Resource(group=RBAC, plural="rolebindings", kind="RoleBinding", namespaced=True)
TOKEN_REVIEWS: Final = Resource(
    group=AUTHENTICATION, plural="tokenreviews", kind="TokenReview", namespaced=False, kept=False
)

RESOURCES: Final[Mapping[tuple[str, str], Resource]] = {
    (each.group, each.plural): each
    for each in (
        NAMESPACES,
        NODES,
        PODS,
        ACCOUNTS,
        DEPLOYMENTS,
        REPLICA_SETS,
        CLUSTER_ROLES,
        CLUSTER_ROLE_BINDINGS,
        ROLES,
        ROLE_BINDINGS,
        TOKEN_REVIEWS,
    )
}
VERSION: Final = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.1",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-05-14T09:22:10Z",
    "goVersion": "go1.26.2",
    "compiler": "gc",
    "platform": "linux/amd64",
}


def versions(address: str) -> dict[str, Any]:
    """Return the document at `/api`: the versions of the core group, which has no name."""
    servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers}


def groups() -> dict[str, Any]:
    """Return the document at `/apis`: all groups except the core group."""
    names = dict.fromkeys(each.group for each in RESOURCES.values() if each.group)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in names]}


def resources_of(group: str) -> dict[str, Any] | None:
    """Return the document at `/api/v1` or `/apis/<group>/v1`: the resources of the group.

    Returns None for an unknown group.
    """
    listed = [_described(each) for each in RESOURCES.values() if each.group == group]
    if not listed:
        return None
    if not group:
        listed.append(_TOKEN_SUBRESOURCE)
    version = f"{group}/v1" if group else "v1"
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}


_TOKEN_SUBRESOURCE: Final = {
    "name": "serviceaccounts/token",
    "singularName": "",
    "namespaced": True,
    "group": AUTHENTICATION,
    "version": "v1",
    "kind": "TokenRequest",
    "verbs": ["create"],
}


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _described(resource: Resource) -> dict[str, Any]:
    return {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _KEPT if resource.kept else ["create"],
    }
