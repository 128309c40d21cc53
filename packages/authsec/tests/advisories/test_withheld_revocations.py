"""Somebody between authority and API keeps a revocation back, or changes what it says.

Every batch has a head signed by the feed's own key, over what lies between two sequence numbers and over the entries
themselves. What does not fit is not believed, and does not keep the API's knowledge fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from authsec.verifier.revocations.batch import BatchRefused, read_batch
from authsec.verifier.revocations.state import Feed

from ..fake_feed import document, entry, given_feed_keys, octets
from ..fake_keys import ISSUER, NOW, FakeClock

ENTRIES = [entry(1), entry(2, subject="c2"), entry(3, subject="c3")]


@pytest.mark.parametrize(
    ("batch", "why"),
    [
        ({**document(ENTRIES), "entries": ENTRIES[:2]}, "do not match its signed head"),
        ({**document(ENTRIES), "entries": []}, "do not match"),
        ({**document(ENTRIES), "entries": [*ENTRIES[:2], entry(3, subject="c4")]}, "do not match"),
        ({**document(ENTRIES), "entries": [*ENTRIES[:2], entry(3, subject="c3", version=1)]}, "do not match"),
        ({**document(ENTRIES), "entries": [ENTRIES[1], ENTRIES[0], ENTRIES[2]]}, "do not match"),
        ({"entries": ENTRIES}, "no head"),
        (document(ENTRIES[1:], since=1), "does not start at"),  # a jump
        (document([], since=3), "does not start at"),
        (document(ENTRIES[1:], through=3), "skips"),
        (document([ENTRIES[0], ENTRIES[2]]), "skips"),
        (document([], through=3, last=3), "skips"),
        (document(ENTRIES, last=2), "beyond the end"),
        (document([ENTRIES[2], ENTRIES[0]], snapshot=True, through=3, last=3), "not in order"),
    ],
)
def test_a_batch_with_a_gap(batch: Mapping[str, Any], why: str) -> None:
    with pytest.raises(BatchRefused, match=why):
        read_batch(octets(batch), issuer=ISSUER, asked=0, keys=given_feed_keys(), now=NOW)


def test_what_is_not_believed_keeps_nothing_fresh_and_a_part_is_not_the_whole() -> None:
    clock, fourth = FakeClock(), entry(4, subject="c4")
    feed = Feed(ISSUER, given_feed_keys(), clock.clock())
    feed.take(octets(document(ENTRIES)))
    clock.pass_by(20)
    with pytest.raises(BatchRefused):
        feed.take(octets(document([entry(5)], since=4, iat=NOW + 20)))
    feed.take(octets(document([fourth], after=ENTRIES[2], last=5, iat=NOW + 20)))  # the fifth does not come
    assert (feed.age(), feed.sequence) == (20, 4)
    assert feed.ended([("client", "c4")], 7)  # and yet what is known counts
    feed.take(octets(document([entry(5)], after=fourth, iat=NOW + 20)))
    assert feed.age() == 0
