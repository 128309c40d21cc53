"""A head that was honest once, or elsewhere, is played to an API to hide a revocation.

A head counts for the issuer that it names, for some seconds, once, and only if it is a head: a token of the authority
proves nothing about what has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from authsec.jose import sign_compact
from authsec.verifier.revocations.batch import LEEWAY, OLDEST_HEAD, BatchRefused, read_batch
from authsec.verifier.revocations.state import Feed

from ..fake_feed import document, feed_key, given_feed_keys, octets
from ..fake_keys import ISSUER, NOW, FakeClock, claims, rsa_key


@pytest.mark.parametrize(
    ("batch", "why"),
    [
        (document([], iat=NOW - OLDEST_HEAD - LEEWAY - 1), "old"),
        (document([], iat=NOW + LEEWAY + 1), "future"),
        (document([], iat=None), "lacks"),
        (document([], iat=True), "lacks"),
        (document([], iss="https://authsec.example.org"), "from another authority"),
        (document([], iss=f"{ISSUER}/"), "from another authority"),
        (document([], key="of somebody else"), "does not publish"),
        (document([], typ="at+jwt"), "another type"),
        (document([], typ="JWT"), "another type"),
        ({"entries": [], "head": sign_compact({"typ": "at+jwt", "kid": "feed"}, claims(), feed_key())}, "another type"),
        ({"entries": [], "head": document([])["head"][:-6] + "AAAAAA"}, "refused"),
        ({"entries": [], "head": "e30.e30.e30"}, "refused"),
        (
            {"entries": [], "head": sign_compact({"typ": "authsec-revocations+jwt", "kid": "feed"}, {}, rsa_key())},
            "algorithm",  # a key of another kind by the name of the feed's
        ),
    ],
)
def test_a_head_that_proves_nothing(batch: Mapping[str, Any], why: str) -> None:
    with pytest.raises(BatchRefused, match=why):
        read_batch(octets(batch), issuer=ISSUER, asked=0, keys=given_feed_keys(), now=NOW)


def test_a_recording_keeps_nothing_fresh() -> None:
    """The same head again and again, or a stream that is delayed by a minute: the feed grows old all the same."""
    clock = FakeClock()
    feed = Feed(ISSUER, given_feed_keys(), clock.clock())
    recorded = octets(document([]))
    for _ in range(6):
        feed.take(recorded)
        clock.pass_by(10)
    assert feed.age() == 60
    feed.take(octets(document([], iat=NOW - 1)))
    assert feed.age() == 60
    feed.take(octets(document([], iat=NOW + 1)))
    assert feed.age() == 59 - LEEWAY  # as late as it is, less what clocks may differ by
    feed.take(octets(document([], iat=NOW + 60)))
    assert feed.age() == 0


def test_a_clock_that_was_set_back_keeps_nothing_fresh() -> None:
    clock = FakeClock()
    feed = Feed(ISSUER, given_feed_keys(), clock.clock())
    feed.take(octets(document([])))
    clock.monotonic += 50
    clock.wall -= 20
    assert feed.age() == 50
    clock.wall += 3600  # it was asleep
    assert feed.age() == 3580
