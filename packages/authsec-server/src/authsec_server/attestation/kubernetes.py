"""The token of a Kubernetes service account, which the kubelet writes into a volume of the pod. Pure.

The claims prove the namespace and the service account. If the token is bound to a pod, the claims also
prove the pod and its node. No token contains labels, containers or images. If pod look-ups are turned on
for the trusted issuer, this server asks the cluster for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsec_server.attestation.model import Selectors, TokenBinding
from authsec_server.attestation.workload_tokens import Kind
from authsec_server.issuers.k8s_volume import projected_volume
from authsec_server.issuers.model import TrustedIssuer


def read(claims: Mapping[str, Any], trusted_issuer: TrustedIssuer) -> Selectors | str:  # noqa: ARG001 - as every kind
    """Return the selectors that the claims prove, or the problem with the claims."""
    bound = claims.get("kubernetes.io")
    if not isinstance(bound, dict):  # the tokens of Secrets, which never end, have other claims
        return (
            "The token is not a projected token of a Kubernetes service account: the claim `kubernetes.io` is missing."
        )
    namespace, account = bound.get("namespace"), _member(bound, "serviceaccount", "name")
    if not _is_name(namespace) or not _is_name(account):
        return "The claim `kubernetes.io` does not name a service account."
    if claims.get("sub") != f"system:serviceaccount:{namespace}:{account}":
        return "The token's `sub` and `kubernetes.io` name different service accounts."
    whose: dict[str, Any] = {"k8s:ns": namespace, "k8s:sa": account}
    where: dict[str, Any] = {}
    if "pod" in bound:  # without one, a node is where somebody asked for the token to be bound, not where anything runs
        where["k8s:pod-name"] = _member(bound, "pod", "name")
        where["k8s:pod-uid"] = _member(bound, "pod", "uid")
        if "node" in bound:
            where["k8s:node-name"] = _member(bound, "node", "name")
    if not all(map(_is_name, where.values())):
        return "The claim `kubernetes.io` has a pod or a node without name or uid."
    return Selectors(whose | where)


def audience_help(audience: str) -> str:
    """Describe how a pod gets a token for this authority. The default token in each pod is for the cluster itself."""
    return f"Mount a projected volume in the pod and send the token in it:\n{projected_volume(audience)}"


def bound_to(claims: Mapping[str, Any]) -> TokenBinding:
    """Return the account and pod that the token is bound to. Call `read` first: it must have accepted the claims."""
    bound = claims["kubernetes.io"]
    named = {"pod_name": _member(bound, "pod", "name"), "pod_uid": _member(bound, "pod", "uid")}
    return TokenBinding(
        namespace=bound["namespace"],
        account=bound["serviceaccount"]["name"],
        account_uid=_text(_member(bound, "serviceaccount", "uid")),
        **{name: _text(value) for name, value in named.items()},
    )


KIND = Kind(read=read, audience_help=audience_help, bound=bound_to)


def _member(bound: Mapping[str, Any], name: str, member: str) -> object:
    thing = bound.get(name)
    return thing.get(member) if isinstance(thing, dict) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_name(value: object) -> bool:
    if not isinstance(value, str) or value in {".", ".."}:  # in the path of a look-up these lead elsewhere
        return False
    return 0 < len(value) <= 255 and ":" not in value and value.isprintable()
