"""The revocation policy of a verifier: how it checks tokens, and what it does while the feed is stale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol, get_args

from authsec.errors import ConfigError, RevocationsUnavailable
from authsec.verifier.introspection import Introspection, IntrospectionHealth
from authsec.verifier.revocations.batch import Subject
from authsec.verifier.revocations.follower import Follower
from authsec.verifier.revocations.leases import Lease, LeaseTerms

Policy = Literal["fail_closed", "introspect", "until_exp"]

PATIENCE: Final = 5.0  # seconds that the first caller waits for the feed
# Seconds. The authority signs a head every five seconds: one late head must not make the feed stale.
SHORTEST_STALE: Final = 10
RETRY_AFTER: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedHealth:
    """The state of the feed. `age` is the seconds since the feed was last complete, or None if it never was.

    `role` is a text for operators. The first word is `follows` if this process follows the authority, and `reads` if it
    reads the file of another worker. The first word is `asks` if that file is silent and this process fetches from the
    authority. `introspection` is None, except if the policy is to introspect tokens while the feed is stale.
    """

    age: float | None
    sequence: int
    connected: bool
    failure: str | None
    role: str = "follows"
    introspection: IntrospectionHealth | None = None


class Revocations(Protocol):
    """The revocations that a verifier checks. Threads may share the object."""

    @property
    def settled(self) -> bool:
        """Whether the first try to read the revocations has ended.

        Before that, `ended` and `current` are not meaningful.
        """

    def settle(self) -> None:
        """Wait until `settled` is true, but only for some seconds."""

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:
        """Whether a known revocation of one of these subjects revokes a token with this `authority_version`."""

    @property
    def current(self) -> bool:
        """Whether the known revocations are recent enough. Never waits."""

    def introspect(self, token: str, claims: Mapping[str, Any]) -> None:
        """While the feed is stale, find out in another way whether this verified token is revoked.

        `ended` then has the result for this token. Raises `RevocationsUnavailable` if there is no other way. May wait
        for some seconds.
        """

    def health(self) -> FeedHealth | None:
        """Return the state of the feed for monitoring, or None if no feed is followed."""

    def close(self) -> None:
        """Release threads and connections."""


def check_policy(revocations: object) -> None:
    """Check the name of the policy. Raises `ConfigError` for an unknown name, because a guess could weaken security."""
    if isinstance(revocations, str) and revocations not in get_args(Policy):
        raise ConfigError(
            'revocations must be "fail_closed", "introspect" or "until_exp". While revocations are not known, '
            '"fail_closed" accepts no token, "introspect" asks the authority about each token, and "until_exp" '
            "accepts tokens until they expire.",
            reason="revocations_invalid",
        )


class NoRevocations:
    """Neither a feed nor revocations: a token is valid until it expires."""

    settled = True
    current = True  # With this policy, only the expiry ends a token.

    def settle(self) -> None:
        """Do nothing: there is no feed to wait for."""

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:  # noqa: ARG002 - no revocations are known
        return False

    def introspect(self, token: str, claims: Mapping[str, Any]) -> None:
        """Do nothing: without a feed, tokens get no check for revocation."""

    def health(self) -> FeedHealth | None:
        return None

    def close(self) -> None:
        """Do nothing: there are no threads or connections."""


class FollowedRevocations:
    """The revocations from the authority's feed. A feed older than `stale_after` seconds is stale.

    While the feed is stale, every token is refused. With the policy `until_exp`, the feed is never stale.
    Requests to the feed carry the `audience` and, if set, the API's `credential`.
    """

    def __init__(
        self,
        issuer: str,
        follower: Follower,
        *,
        audience: str,
        credential: str | None = None,
        policy: Policy,
        stale_after: float,
    ) -> None:
        if not SHORTEST_STALE <= stale_after < math.inf:
            raise ConfigError(
                f"stale_after must be at least {SHORTEST_STALE} seconds; the authority sends a message every five "
                "seconds",
                reason="stale_after_invalid",
            )
        self._issuer = issuer
        self._follower = follower
        self._feed = follower.feed
        self._oldest = math.inf if policy == "until_exp" else stale_after
        terms = LeaseTerms(audience=audience, oldest=self._oldest, asks=policy == "introspect")
        self._lease: Lease | None = follower.lease(terms, credential)

    @property
    def settled(self) -> bool:
        if self._lease is not None:
            self._follower.ensure()
        return self._follower.settled

    def settle(self) -> None:
        if not self.settled:
            self._follower.settle(PATIENCE)

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:
        return self._feed.ended(subjects, version)

    @property
    def current(self) -> bool:
        return self._feed.age() <= self._oldest

    def introspect(self, token: str, claims: Mapping[str, Any]) -> None:  # noqa: ARG002 - every token is refused
        self._follower.log_lasting_failure()
        age = self._feed.age()
        known = "were never known" if age == math.inf else f"were last known {age:.0f} seconds ago"
        raise RevocationsUnavailable(
            f"The revocations of {self._issuer} {known}, so no token can be accepted: "
            f"{self._follower.failure or 'the feed is silent'}.",
            retry_after=RETRY_AFTER,
        )

    def health(self) -> FeedHealth:
        age, follower = self._feed.age(), self._follower
        return FeedHealth(
            age=None if age == math.inf else age,
            sequence=self._feed.sequence,
            connected=follower.connected,
            failure=follower.failure,
            role=follower.role,
        )

    def close(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            self._follower.release(lease)


class IntrospectedRevocations:
    """The revocations of `followed`. While the feed is stale, each token is introspected instead of refused."""

    def __init__(self, followed: FollowedRevocations, introspection: Introspection) -> None:
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

    def introspect(self, token: str, claims: Mapping[str, Any]) -> None:
        self._introspection.check(token, claims)

    def health(self) -> FeedHealth:
        asking = self._introspection
        in_use = asking.ever_asked and not self._followed.current
        return replace(
            self._followed.health(), introspection=IntrospectionHealth(in_use=in_use, failure=asking.failure)
        )

    def close(self) -> None:
        self._followed.close()
