"""Ask a cluster about a token that the cluster signed and about its pod. Cache the results for a short time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, Generic, Protocol, TypeGuard, TypeVar

from authsec_server.attestation.model import Evidence, TokenBinding, Unchecked
from authsec_server.clients.model import Selector
from authsec_server.clients.selectors import MAX_VALUE
from authsec_server.issuers.cluster_client import ClusterApis, NotAnswered
from authsec_server.issuers.model import LookupUnavailable, TrustedIssuer

MAX_SELECTORS: Final = 500
_ENDED = {"Succeeded", "Failed"}
_POD_UID = "authentication.kubernetes.io/pod-uid"


def is_still_valid(review: Mapping[str, Any], bound: TokenBinding, audience: str) -> bool:
    """Return whether the TokenReview (v1) accepts the token for this account and this audience.

    Raises `NotAnswered` if the review accepts another account, pod or audience. The member `authenticated`
    alone is not enough: a server that ignores audiences sets it to true too.
    """
    status = review.get("status")
    if review.get("kind") != "TokenReview" or not isinstance(status, dict):
        raise NotAnswered("the answer to a TokenReview is not a TokenReview")
    verdict = status.get("authenticated", False)  # left out where it is false
    if verdict is False:
        return False
    if verdict is not True or status.get("error"):
        raise NotAnswered("the TokenReview does not say whether the token is valid")
    audiences, user = status.get("audiences"), status.get("user")
    if not isinstance(audiences, list) or audience not in audiences:
        raise NotAnswered(f"the TokenReview does not confirm the audience {audience}")
    if not isinstance(user, dict) or not _is_about(user, bound):
        raise NotAnswered("the TokenReview and the token name different accounts or pods")
    return True


def pod_selectors(pod: Mapping[str, Any] | None, bound: TokenBinding) -> frozenset[Selector] | None:
    """Return the selectors of the pod that the token is bound to.

    Return None if the pod is gone, has ended, has another service account, or was replaced by another pod.
    Raises `NotAnswered` if the response is no pod, is about another pod, or has too many selectors.
    """
    if pod is None:
        return None
    metadata, spec, status = (pod.get(name) for name in ("metadata", "spec", "status"))
    if pod.get("kind") != "Pod" or not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise NotAnswered("the answer to a pod look-up is not a pod")
    if (metadata.get("namespace"), metadata.get("name")) != (bound.namespace, bound.pod_name):
        raise NotAnswered("the answer to a pod look-up is about a different pod")
    phase = status.get("phase") if isinstance(status, dict) else None
    if metadata.get("uid") != bound.pod_uid or spec.get("serviceAccountName") != bound.account or phase in _ENDED:
        return None
    said = (*_of_metadata(metadata), *_of_containers(spec))
    if len(said) > MAX_SELECTORS:  # they are kept for a while, of many pods
        raise NotAnswered(f"the pod has more than {MAX_SELECTORS} labels, owners and containers")
    return frozenset(Selector(key=key, value=value) for key, value in said if _is_value(value))


def _is_about(user: Mapping[str, Any], bound: TokenBinding) -> bool:
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
    """List the names and images of the containers that run as long as the pod does.

    These are the normal containers and the sidecars. Other init containers end before the agent starts, and
    ephemeral containers are for debugging. Both kinds are left out, because they do not show the purpose of the
    pod.
    """
    sidecars = [each for each in _objects(spec.get("initContainers")) if each.get("restartPolicy") == "Always"]
    for container in (*_objects(spec.get("containers")), *sidecars):
        yield "k8s:container-name", container.get("name")
        yield "k8s:container-image", container.get("image")


def _is_value(value: object) -> TypeGuard[str]:
    """Return whether the value can be registered as a selector value. Longer values cannot be registered."""
    return isinstance(value, str) and 0 < len(value) <= MAX_VALUE


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
MAX_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Kept(Generic[V]):
    value: V
    until: float


class ClusterCache(Generic[K, V]):
    """Thread-safe cache of look-up results, with single flight. A full cache drops the least recently used result.

    A result is valid for `seconds` from the start of the look-up, by the monotonic clock. If `seconds` is 0,
    nothing is cached and each caller makes its own look-up. None and failures are not cached, so the next
    caller makes a new look-up. Callers that arrive during a look-up wait for its result.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float], *, at_most: int = MAX_KEPT) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._at_most = at_most
        self._kept: OrderedDict[K, _Kept[V]] = OrderedDict()
        self._flights: dict[K, Future[V | None]] = {}
        self._lock = Lock()

    def kept(self, key: K) -> V | None:
        """Return the cached result for `key`; None if there is none. Never waits for a look-up."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or self._monotonic() >= kept.until:
                return None
            self._kept.move_to_end(key)
            return kept.value

    def get(self, key: K, ask: Callable[[], V | None]) -> V | None:
        """Return the cached result for `key`, or else the result of `ask`. Raises the exceptions of `ask`.

        A result of None is a negative answer, and is not cached.
        """
        if not self._seconds:
            return ask()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and self._monotonic() < kept.until:
                self._kept.move_to_end(key)
                return kept.value
            flight = self._flights.get(key)
            mine = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        if mine:
            self._fly(key, flight, ask)
        return flight.result()

    def _fly(self, key: K, flight: Future[V | None], ask: Callable[[], V | None]) -> None:
        """Call `ask`, and pass its result or exception to every waiting caller.

        Callers that arrive later may call `ask` again.
        """
        until = self._monotonic() + self._seconds  # from now: it may be old by the time that it arrives
        try:
            value = ask()
        except BaseException as error:  # noqa: BLE001 - whatever it is, everybody who waits gets it
            self._land(key, None)
            flight.set_exception(error)
        else:
            self._land(key, None if value is None else _Kept(value, until))
            flight.set_result(value)

    def _land(self, key: K, kept: _Kept[V] | None) -> None:
        with self._lock:
            del self._flights[key]
            self._kept.pop(key, None)
            if kept is not None:
                self._kept[key] = kept
                if len(self._kept) > self._at_most:
                    self._kept.popitem(last=False)


GONE: Final = (
    "The cluster says that this token is no longer valid: the token's pod or service account was deleted, or the "
    "pod has ended. Read the token again for each request. A running pod always has a valid token."
)
_Review = tuple[str, int, bytes, str]  # trusted issuer, its revision, SHA-256 of the evidence, audience
_Pod = tuple[str, int, TokenBinding]  # trusted issuer, its revision, what the token is bound to


def _review(trusted_issuer: TrustedIssuer, evidence: Evidence, audience: str) -> _Review:
    return trusted_issuer.id, trusted_issuer.revision, evidence.mark, audience


class ClusterAnswers(Protocol):
    """The answers of clusters about tokens and pods. Both methods raise `Unchecked` if there is no answer."""

    def is_still_valid(
        self, trusted_issuer: TrustedIssuer, evidence: Evidence, bound: TokenBinding, audience: str
    ) -> bool:
        """Return whether the cluster accepts the token for this audience."""

    def pod(self, trusted_issuer: TrustedIssuer, bound: TokenBinding) -> frozenset[Selector] | None:
        """Return the selectors of the token's pod. Return None if the pod is gone.

        The result is empty if the token is not bound to a pod.
        """


class _KeptAnswers:
    """The cached answers of clusters. Sends no request, and never waits."""

    def __init__(self, reviews: ClusterCache[_Review, bool], pods: ClusterCache[_Pod, frozenset[Selector]]) -> None:
        self._reviews = reviews
        self._pods = pods

    def is_still_valid(
        self, trusted_issuer: TrustedIssuer, evidence: Evidence, bound: TokenBinding, audience: str
    ) -> bool:
        del bound  # the cached review of this token already covers its binding
        if self._reviews.kept(_review(trusted_issuer, evidence, audience)) is not True:
            raise Unchecked(trusted_issuer, "the cluster has not reviewed the token lately")
        return True

    def pod(self, trusted_issuer: TrustedIssuer, bound: TokenBinding) -> frozenset[Selector] | None:
        if not bound.pod_uid:
            return frozenset()
        if (pod := self._pods.kept((trusted_issuer.id, trusted_issuer.revision, bound))) is None:
            raise Unchecked(trusted_issuer, "the cluster has not said anything about the pod lately")
        return pod


class Clusters:
    """Asks the clusters of trusted issuers, and caches the answers for `seconds`. `kept` has only cached answers."""

    def __init__(self, apis: ClusterApis, *, seconds: float, monotonic: Callable[[], float]) -> None:
        self._apis = apis
        self._reviews: ClusterCache[_Review, bool] = ClusterCache(seconds, monotonic)
        self._pods: ClusterCache[_Pod, frozenset[Selector]] = ClusterCache(seconds, monotonic)
        self.kept: ClusterAnswers = _KeptAnswers(self._reviews, self._pods)

    def is_still_valid(
        self, trusted_issuer: TrustedIssuer, evidence: Evidence, bound: TokenBinding, audience: str
    ) -> bool:
        """Return whether the cluster accepts the token for this audience."""

        def ask() -> bool | None:
            return self._apis.review(
                trusted_issuer,
                evidence.credential,
                audience,
                lambda said: is_still_valid(said, bound, audience) or None,
            )

        try:
            return self._reviews.get(_review(trusted_issuer, evidence, audience), ask) is True
        except LookupUnavailable as error:
            raise Unchecked(trusted_issuer, error.sentence) from error

    def pod(self, trusted_issuer: TrustedIssuer, bound: TokenBinding) -> frozenset[Selector] | None:
        """Return the selectors of the token's pod. Return None if the pod is gone.

        The result is empty if the token is not bound to a pod.
        """
        if not bound.pod_uid:
            return frozenset()

        def ask() -> frozenset[Selector] | None:
            return self._apis.pod(
                trusted_issuer, bound.namespace, bound.pod_name, lambda said: pod_selectors(said, bound)
            )

        try:
            return self._pods.get((trusted_issuer.id, trusted_issuer.revision, bound), ask)
        except LookupUnavailable as error:
            raise Unchecked(trusted_issuer, error.sentence) from error
