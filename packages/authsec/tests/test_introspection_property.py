"""Whatever happens to feed and authority, and in whichever order: what counts is no older than it may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, cast

from authsec.verifier.documents import DocumentRefused
from authsec.verifier.introspection import KEPT_FOR, Introspection
from authsec.verifier.revocations.policy import FeedHealth, IntrospectedRevocations
from authsec.verifier.verification_cache import token_digest
from hypothesis import given
from hypothesis import strategies as st

from .fake_introspection import outcome
from .fake_keys import ISSUER, FakeClock, token, verifier_of

BEARER = token()
Step = Literal["a second", "six seconds", "cut", "back", "revoked", "restored", "down", "up", "a request"]
STEPS: list[Step] = ["a second", "six seconds", "cut", "back", "revoked", "restored", "down", "up"]


class Feed:
    """A `Followed` that is `current` or not, and has told nothing."""

    current = settled = True

    def ended(self, *_: object) -> bool:
        return False

    def health(self) -> FeedHealth:
        return FeedHealth(age=0.0, sequence=0, connected=self.current, failure=None)


class World:
    """A feed, an authority and a verifier, at one clock."""

    def __init__(self) -> None:
        self.clock, self.feed = FakeClock(), Feed()
        self.revoked = self.down = False
        self.vouched = -math.inf  # when the authority said last that the token counts
        self.dead = False  # whether it has been refused as revoked
        introspection = Introspection(ISSUER, self._ask, mark=token_digest, clock=self.clock.clock())
        revocations = IntrospectedRevocations(cast("Any", self.feed), introspection)
        self.verifier = verifier_of(revocations=revocations, clock=self.clock.clock())

    def _ask(self, _bearer: str, _claims: Any) -> bool:
        if self.down:
            raise DocumentRefused("nobody answers")
        self.vouched = self.vouched if self.revoked else self.clock.monotonic
        return not self.revoked

    def take(self, step: Step) -> None:
        steps: dict[Step, Callable[[], None]] = {
            "a second": lambda: self.clock.pass_by(1),
            "six seconds": lambda: self.clock.pass_by(6),
            "cut": lambda: setattr(self.feed, "current", False),
            "back": lambda: setattr(self.feed, "current", True),
            "revoked": lambda: setattr(self, "revoked", True),
            "restored": lambda: setattr(self, "revoked", False),  # from a backup that knows nothing of it
            "down": lambda: setattr(self, "down", True),
            "up": lambda: setattr(self, "down", False),
            "a request": self.request,
        }
        steps[step]()

    def request(self) -> None:
        found = outcome(self.verifier, BEARER)
        if self.dead:
            assert found == "token_revoked"
        if found == "accepted" and not self.feed.current:
            assert self.clock.monotonic - self.vouched < KEPT_FOR
        if found == "revocations_unavailable":
            assert not self.feed.current
        if found == "token_revoked":
            assert self.dead or self.revoked
            self.dead = True


@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_what_counts_is_no_older_than_it_may_be(steps: list[Step]) -> None:
    world = World()
    for step in steps:
        world.take(step)
        world.take("a request")
