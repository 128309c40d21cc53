"""What a cluster's API server answers about a token and about a pod. Pure.

Its answers are held against the claims of the token, which the cluster signed: an answer about anybody else is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard

from authsec_server.attestation.model import Bound
from authsec_server.clients.model import Selector
from authsec_server.clients.selectors.parsing import MAX_VALUE
from authsec_server.sources.cluster_line import NotAnswered

MAX_SELECTORS: Final = 500
_ENDED = {"Succeeded", "Failed"}
_POD_UID = "authentication.kubernetes.io/pod-uid"


def still_counts(review: Mapping[str, Any], bound: Bound, audience: str) -> bool:
    """Whether the cluster says that the token counts, for this account and this audience (TokenReview, v1).

    Raises `NotAnswered` for a yes that is not about this token: whoever reads only `authenticated` takes the word of a
    server that ignores audiences.
    """
    status = review.get("status")
    if review.get("kind") != "TokenReview" or not isinstance(status, dict):
        raise NotAnswered("it answers a TokenReview with something else")
    verdict = status.get("authenticated", False)  # left out where it is false
    if verdict is False:
        return False
    if verdict is not True or status.get("error"):
        raise NotAnswered("its TokenReview says neither yes nor no")
    audiences, user = status.get("audiences"), status.get("user")
    if not isinstance(audiences, list) or audience not in audiences:
        raise NotAnswered(f"its TokenReview does not say that the token is for {audience}")
    if not isinstance(user, dict) or not _is_about(user, bound):
        raise NotAnswered("its TokenReview is about another account, or another pod, than the token")
    return True


def pod_selectors(pod: Mapping[str, Any] | None, bound: Bound) -> frozenset[Selector] | None:
    """What there is to say of the pod that the token is bound to; None if it is gone, has ended, or is another by now.

    Raises `NotAnswered` for what is no pod.
    """
    if pod is None:
        return None
    metadata, spec, status = (pod.get(name) for name in ("metadata", "spec", "status"))
    if pod.get("kind") != "Pod" or not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise NotAnswered("it answers with something else than a pod")
    if (metadata.get("namespace"), metadata.get("name")) != (bound.namespace, bound.pod_name):
        raise NotAnswered("it answers with another pod")
    phase = status.get("phase") if isinstance(status, dict) else None
    if metadata.get("uid") != bound.pod_uid or spec.get("serviceAccountName") != bound.account or phase in _ENDED:
        return None
    said = (*_of_metadata(metadata), *_of_containers(spec))
    if len(said) > MAX_SELECTORS:  # they are kept for a while, of many pods
        raise NotAnswered(f"the pod has more than {MAX_SELECTORS} labels, owners and containers")
    return frozenset(Selector(key=key, value=value) for key, value in said if _is_value(value))


def _is_about(user: Mapping[str, Any], bound: Bound) -> bool:
    extra = user.get("extra")
    pods = extra.get(_POD_UID) if isinstance(extra, dict) else None  # older clusters do not say it
    return (
        bound.account_uid != ""
        and user.get("username") == f"system:serviceaccount:{bound.namespace}:{bound.account}"
        and user.get("uid") == bound.account_uid
        and (pods is None or pods == [bound.pod_uid])
    )


def _of_metadata(metadata: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    labels = metadata.get("labels")
    for name, value in (labels if isinstance(labels, dict) else {}).items():
        yield f"k8s:pod-label:{name}", value
    for owner in _objects(metadata.get("ownerReferences")):
        yield f"k8s:pod-owner:{owner.get('kind')}", owner.get("name")


def _of_containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Of the containers that run for as long as the pod does.

    Other init containers have ended before the agent began; ephemeral ones are what somebody who looks for an error has
    put there. Neither is what the pod was made for.
    """
    sidecars = [each for each in _objects(spec.get("initContainers")) if each.get("restartPolicy") == "Always"]
    for container in (*_objects(spec.get("containers")), *sidecars):
        yield "k8s:container-name", container.get("name")
        yield "k8s:container-image", container.get("image")


def _is_value(value: object) -> TypeGuard[str]:
    """Whether it could be registered: what is longer is no selector."""
    return isinstance(value, str) and 0 < len(value) <= MAX_VALUE


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
