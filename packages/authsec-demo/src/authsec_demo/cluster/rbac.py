"""Authorise requests by roles and bindings, and define the built-in roles and bindings of a cluster.

The functions are pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from authsec_demo.cluster.requests import Asked
from authsec_demo.cluster.resources import RBAC
from authsec_demo.cluster.users import AUTHENTICATED, User, service_account_name

Json = Mapping[str, Any]


def may(asked: Asked, rules: Iterable[Json]) -> bool:
    """Whether one of the rules allows the request."""
    return any(_allows(rule, asked) for rule in rules)


def binds(binding: Json, user: User) -> bool:
    """Whether the user is one of the binding's subjects."""
    return any(_is(subject, binding, user) for subject in binding.get("subjects") or [])


def in_words(user: User, asked: Asked) -> str:
    """Return the message for a refused request, in the words of a real API server."""
    if not asked.resource:
        return f'User "{user.name}" cannot {asked.verb} path "{asked.path}"'
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    return f'User "{user.name}" cannot {asked.verb} resource "{resource}" in API group "{asked.group}" {where}'


def _is(subject: Json, binding: Json, user: User) -> bool:
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "ServiceAccount":
        namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
        return user.name == service_account_name(namespace, str(name))
    return name in user.groups if kind == "Group" else kind == "User" and name == user.name


def _allows(rule: Json, asked: Asked) -> bool:
    verbs = rule.get("verbs") or []
    if asked.verb not in verbs and "*" not in verbs:
        return False
    if not asked.resource:
        return any(_covers(path, asked.path) for path in rule.get("nonResourceURLs") or [])
    names = rule.get("resourceNames") or []
    return (
        _among(asked.group, rule.get("apiGroups") or [])
        and _resource(asked, rule.get("resources") or [])
        and (not names or asked.name in names)
    )


def _among(group: str, groups: Sequence[str]) -> bool:
    return group in groups or "*" in groups


def _resource(asked: Asked, resources: Sequence[str]) -> bool:
    if asked.subresource:
        named = {f"{asked.resource}/{asked.subresource}", f"*/{asked.subresource}"}
    else:
        named = {asked.resource}
    return "*" in resources or not named.isdisjoint(resources)


def _covers(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


def _role(name: str, *rules: Json) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules)}


def _binding(role: str, *groups: str) -> dict[str, Any]:
    subjects = [{"kind": "Group", "apiGroup": RBAC, "name": group} for group in groups]
    role_ref = {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
    return {"metadata": {"name": role}, "roleRef": role_ref, "subjects": subjects}


_INFO: Final = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY: Final = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
_ISSUER: Final = ["/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks"]

BUILT_IN_ROLES: Final = (
    _role(
        "cluster-admin",
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ),
    _role("system:discovery", {"nonResourceURLs": [*_INFO, *_DISCOVERY], "verbs": ["get"]}),
    _role("system:public-info-viewer", {"nonResourceURLs": _INFO, "verbs": ["get"]}),
    # Only a caller with a token can read the issuer's keys. So discovery fails at some clusters.
    _role("system:service-account-issuer-discovery", {"nonResourceURLs": _ISSUER, "verbs": ["get"]}),
)
BUILT_IN_BINDINGS: Final = (
    _binding("cluster-admin", "system:masters"),
    _binding("system:discovery", AUTHENTICATED),
    _binding("system:public-info-viewer", AUTHENTICATED, "system:unauthenticated"),
    _binding("system:service-account-issuer-discovery", "system:serviceaccounts"),
)
