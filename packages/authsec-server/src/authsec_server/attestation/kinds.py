"""The kinds of workload tokens: which selectors the claims prove, for each kind of trusted issuer. Pure.

A new kind of trusted issuer needs two functions here and one entry in `KINDS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from authsec import strict_json

from authsec_server.attestation.model import Selectors, TokenBinding
from authsec_server.attestation.workload_tokens import Kind
from authsec_server.clients.pod_token import projected_volume
from authsec_server.issuers.model import TrustedIssuer, TrustedIssuerKind

SPIFFE_ID = "spiffe:id"
MAX_ID = 2048  # SPIFFE-ID section 2.3
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)+")  # section 2.2


def read_kubernetes(claims: Mapping[str, Any], trusted_issuer: TrustedIssuer) -> Selectors | str:  # noqa: ARG001 - as every kind
    """Read the token of a Kubernetes service account, which the kubelet writes into a volume of the pod.

    The claims prove the namespace and the service account. If the token is bound to a pod, the claims also prove the
    pod and its node. No token contains labels, containers or images. If pod look-ups are turned on for the trusted
    issuer, this server asks the cluster for them. Return the selectors, or the problem with the claims.
    """
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
    if "pod" in bound:  # without a pod, the node is only a wish in the token request, not the place of a workload
        where["k8s:pod-name"] = _member(bound, "pod", "name")
        where["k8s:pod-uid"] = _member(bound, "pod", "uid")
        if "node" in bound:
            where["k8s:node-name"] = _member(bound, "node", "name")
    if not all(map(_is_name, where.values())):
        return "The claim `kubernetes.io` has a pod or a node without name or uid."
    return Selectors(whose | where)


def _kubernetes_help(audience: str) -> str:
    """Describe how a pod gets a token for this authority. The default token in each pod is for the cluster itself."""
    return f"Mount a projected volume in the pod and send the token in it:\n{projected_volume(audience)}"


def bound_to_pod(claims: Mapping[str, Any]) -> TokenBinding:
    """Return the account and pod that the token is bound to. Call `read` first: it must have accepted the claims."""
    bound = claims["kubernetes.io"]
    named = {"pod_name": _member(bound, "pod", "name"), "pod_uid": _member(bound, "pod", "uid")}
    return TokenBinding(
        namespace=bound["namespace"],
        account=bound["serviceaccount"]["name"],
        account_uid=_text_or_empty(_member(bound, "serviceaccount", "uid")),
        **{name: _text_or_empty(value) for name, value in named.items()},
    )


def _member(bound: Mapping[str, Any], name: str, member: str) -> object:
    thing = bound.get(name)
    return thing.get(member) if isinstance(thing, dict) else None


def _text_or_empty(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_name(value: object) -> bool:
    if not isinstance(value, str) or value in {".", ".."}:  # in the path of a look-up these lead elsewhere
        return False
    return 0 < len(value) <= 255 and ":" not in value and value.isprintable()


def read_spiffe(claims: Mapping[str, Any], trusted_issuer: TrustedIssuer) -> Selectors | str:
    """Read a JWT-SVID (SPIFFE, "JWT-SVID" sections 2 to 4). It proves one thing: the workload's SPIFFE ID.

    SPIRE has checked the selectors of the workload before it issued the ID. A JWT-SVID may be used more than once,
    because SPIRE returns cached JWT-SVIDs. Return the ID if it belongs to the trust domain that signed the token;
    else the problem with the token.
    """
    subject, domain = claims.get("sub"), f"spiffe://{trusted_issuer.issuer}"
    if not isinstance(subject, str) or len(subject) > MAX_ID or not subject.startswith(f"{domain}/"):
        return "The token's `sub` is not a SPIFFE ID of the trust domain that signed the token."
    if not _PATH.fullmatch(subject.removeprefix(domain)):
        return "The token's `sub` is not a SPIFFE ID: the path is malformed."
    return Selectors({SPIFFE_ID: subject})


def _spiffe_help(audience: str) -> str:
    """Describe how a workload gets a JWT-SVID for this authority."""
    return f"Request a JWT-SVID with the audience {audience} from the Workload API."


def read_oidc(claims: Mapping[str, Any], trusted_issuer: TrustedIssuer) -> Selectors | str:
    """Read a token of an OpenID Connect issuer: GitHub Actions, GitLab CI, Google, Azure and others.

    The trusted issuer has a map from selectors to claims. Only claims in the map prove selectors. A claim that
    is missing, empty or a list proves nothing. Return the selectors, or the problem with the claims.
    """
    texts = ((key, _text(claims.get(name))) for key, name in trusted_issuer.claims.items())
    proved = {key: text for key, text in texts if text}
    return Selectors(proved) if proved else "The token has none of the claims that this trusted issuer maps."


def _oidc_help(audience: str) -> str:
    """Describe how a workload gets a token for this authority."""
    return f"Configure the issuer to set the audience {audience}."


def _text(value: object) -> str:
    """Return the value as text in the form of the issuer's documentation, such as `true` or `42`.

    Return an empty text for a list, because it is unclear which member to use.
    """
    if isinstance(value, str):
        return value
    return strict_json.dumps(value).decode() if isinstance(value, bool | int | float) else ""


KINDS: Final[Mapping[TrustedIssuerKind, Kind]] = {
    TrustedIssuerKind.KUBERNETES: Kind(read=read_kubernetes, audience_help=_kubernetes_help, bound=bound_to_pod),
    TrustedIssuerKind.SPIFFE: Kind(read=read_spiffe, names_issuer=False, longest=None, audience_help=_spiffe_help),
    TrustedIssuerKind.OIDC: Kind(read=read_oidc, audience_help=_oidc_help),
}
