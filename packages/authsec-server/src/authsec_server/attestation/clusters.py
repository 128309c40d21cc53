"""Asking the cluster that signed a token: does it still count, and what is there to say of its pod?

Only of tokens whose form, signature, audience and times were found good without it: whoever sends nonsense must not
make us ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from authsec_server.attestation.cluster_answers import pod_selectors, still_counts
from authsec_server.attestation.looked_up import LookedUp
from authsec_server.attestation.model import Bound, Evidence, Unchecked
from authsec_server.clients.model import Selector
from authsec_server.sources.cluster_apis import ClusterApis
from authsec_server.sources.lookups import LookupUnavailable
from authsec_server.sources.model import TrustSource

GONE: Final = (
    "The cluster says that this token counts no longer: its pod or its service account is gone, or the pod has ended. "
    "Read the token anew for each request; a pod that runs has a good one."
)
_Review = tuple[str, int, bytes, str]  # source, its revision, SHA-256 of the evidence, audience
_Pod = tuple[str, int, Bound]  # source, its revision, what the token is bound to


class Clusters:
    """Asks the clusters, and keeps what they said for `seconds`. Both questions raise `Unchecked`."""

    def __init__(self, apis: ClusterApis, *, seconds: float, monotonic: Callable[[], float]) -> None:
        self._apis = apis
        self._reviews: LookedUp[_Review, bool] = LookedUp(seconds, monotonic)
        self._pods: LookedUp[_Pod, frozenset[Selector]] = LookedUp(seconds, monotonic)

    def still_counts(self, source: TrustSource, evidence: Evidence, bound: Bound, audience: str) -> bool:
        """Whether the cluster accepts the token for this audience now."""
        mark = (source.id, source.revision, evidence.mark, audience)

        def ask() -> bool | None:
            return self._apis.review(
                source, evidence.credential, audience, lambda said: still_counts(said, bound, audience) or None
            )

        try:
            return self._reviews.get(mark, ask) is True
        except LookupUnavailable as error:
            raise Unchecked(source, error.sentence) from error

    def pod(self, source: TrustSource, bound: Bound) -> frozenset[Selector] | None:
        """What the cluster says of the token's pod; None if that is gone. Of a token without a pod, nothing."""
        if not bound.pod_uid:
            return frozenset()

        def ask() -> frozenset[Selector] | None:
            return self._apis.pod(source, bound.namespace, bound.pod_name, lambda said: pod_selectors(said, bound))

        try:
            return self._pods.get((source.id, source.revision, bound), ask)
        except LookupUnavailable as error:
            raise Unchecked(source, error.sentence) from error
