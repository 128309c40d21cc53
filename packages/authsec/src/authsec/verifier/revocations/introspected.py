"""The feed; and while it is not known well enough, the authority's word on each single token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from authsec.verifier.introspection.asking import Introspection, IntrospectionHealth
from authsec.verifier.revocations.entries import Subject
from authsec.verifier.revocations.following import FeedHealth, Followed


class Introspected:
    """As `followed`, but that a feed which is too old closes no door: every token is asked about then."""

    def __init__(self, followed: Followed, introspection: Introspection) -> None:
        self._followed = followed
        self._introspection = introspection

    @property
    def settled(self) -> bool:
        return self._followed.settled

    def settle(self) -> None:
        self._followed.settle()

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:
        dead = self._introspection.is_dead
        return self._followed.ended(subjects, version) or any(kind == "token" and dead(id_) for kind, id_ in subjects)

    @property
    def current(self) -> bool:
        return self._followed.current

    def make_sure(self, token: str, claims: Mapping[str, Any]) -> None:
        self._introspection.check(token, claims)

    def health(self) -> FeedHealth:
        asking = self._introspection
        in_use = asking.ever_asked and not self._followed.current
        return replace(
            self._followed.health(), introspection=IntrospectionHealth(in_use=in_use, failure=asking.failure)
        )

    def close(self) -> None:
        self._followed.close()
