"""`ClusterApis`: asks the API servers of clusters about tokens and pods. For all sources, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from authsec_server.outbound import Answer, Limits, Outbound
from authsec_server.sources.cluster_line import LIMITS, ClusterLine, NotAnswered
from authsec_server.sources.lookups import Lookup, LookupState, LookupUnavailable
from authsec_server.sources.model import TrustSource

T = TypeVar("T")
_DEPTH = 32  # a pod's affinity, and the fields that each of its managers owns, lie deep
_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


class ClusterApis:
    """The API servers of all sources. Never to be asked inside a transaction: it takes as long as they do.

    What an answer means, `read` says: it raises `NotAnswered` for one that no API server gives. Every method raises
    `LookupUnavailable` where there is no answer. Whether the source is enabled is not asked here.
    """

    def __init__(
        self,
        outbound: Outbound,
        *,
        credentials_dir: Path | None,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        limits: Limits = LIMITS,
    ) -> None:
        self._outbound = outbound
        self._credentials_dir = credentials_dir
        self._now = now
        self._monotonic = monotonic
        self._limits = limits
        self._lock = threading.Lock()
        self._lines: dict[str, ClusterLine] = {}

    @property
    def possible(self) -> bool:
        """Whether there is a folder of credentials to ask with."""
        return self._credentials_dir is not None

    def review(self, source: TrustSource, token: str, audience: str, read: Callable[[Mapping[str, Any]], T]) -> T:
        """What the cluster says of a token of its own: whether it still counts, for whom and for what."""
        wanted = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        return self._line(source).ask(
            Lookup.TOKEN_REVIEW, _REVIEWS, wanted, lambda answer: read(answer.json_object(max_depth=_DEPTH))
        )

    def pod(self, source: TrustSource, namespace: str, name: str, read: Callable[[Mapping[str, Any] | None], T]) -> T:
        """What the cluster says of a pod; `read` gets None where it knows no such pod."""
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}"
        return self._line(source).ask(Lookup.POD_LOOKUP, path, None, lambda answer: read(_pod(answer)))

    def check(self, source: TrustSource) -> Mapping[Lookup, LookupState]:
        """Ask each question that is on about nothing in particular, and say how that went.

        A token that is none, and a pod that there is not: an API server that may be asked says no, which is an answer.
        """
        questions = {
            Lookup.TOKEN_REVIEW: lambda: self.review(source, "none", "none", lambda _: None),
            Lookup.POD_LOOKUP: lambda: self.pod(source, "default", "authsec-asks-for-none", lambda _: None),
        }
        for lookup in self.state(source):
            with suppress(LookupUnavailable):  # why, the state says
                questions[lookup]()
        return self.state(source)

    def try_out(self, source: TrustSource) -> Mapping[Lookup, LookupState]:
        """As `check`, for a source as it may come to be: nothing of how it went is remembered."""
        alone = ClusterApis(
            self._outbound,
            credentials_dir=self._credentials_dir,
            now=self._now,
            monotonic=self._monotonic,
            limits=self._limits,
        )
        return alone.check(source)

    def state(self, source: TrustSource) -> Mapping[Lookup, LookupState]:
        """How each look-up that is on went last, as far as this process knows. Asks no other server."""
        cluster = source.cluster
        on = {Lookup.TOKEN_REVIEW: cluster and cluster.reviews, Lookup.POD_LOOKUP: cluster and cluster.pods}
        return {lookup: self._line(source).state(lookup) for lookup, is_on in on.items() if is_on}

    def _line(self, source: TrustSource) -> ClusterLine:
        with self._lock:
            line = self._lines.get(source.id)
            if line is None or line.source.revision < source.revision:
                line = self._lines[source.id] = ClusterLine(
                    source,
                    self._outbound,
                    credentials_dir=self._credentials_dir,
                    now=self._now,
                    monotonic=self._monotonic,
                    limits=self._limits,
                )
            elif line.source.revision > source.revision:  # read before a change that others know of already
                raise LookupUnavailable(f"The trust source {source.name!r} was changed meanwhile.")
            return line


def _pod(answer: Answer) -> Mapping[str, Any] | None:
    document = answer.json_object(max_depth=_DEPTH)
    if answer.status != 404:
        return document
    about = document.get("details")
    if document.get("kind") == "Status" and isinstance(about, dict) and about.get("kind") == "pods":
        return None
    raise NotAnswered(f"{answer.source} answers 404 as no API server does: is that its address?")
