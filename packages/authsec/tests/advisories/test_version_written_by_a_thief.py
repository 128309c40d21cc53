"""A signing key is stolen and revoked. The thief signs on, and claims to be of a later version than the revocation.

Every other entry of the feed spares what was decided later. Of a key it does not: whoever holds it writes that claim,
and the time of issue, as they please. So nothing that it has signed counts, for as long as the API knows the key.
"""

from __future__ import annotations

from authsec import strict_json
from authsec.verifier.revocations.state import KEPT, Feed

from ..fake_feed import document, entry, given_feed_keys, octets
from ..fake_keys import ISSUER, NOW, FakeClock


def test_no_version_helps_and_no_patience() -> None:
    clock = FakeClock()
    feed = Feed(ISSUER, given_feed_keys(), clock.clock())
    last = entry(2, "client", "c1", version=7)
    feed.take(octets(document([entry(1, "key", "stolen", version=7), last])))
    for version in (0, 7, 8, strict_json.MAX_INTEGER):
        assert feed.ended([("key", "stolen")], version)
        assert not feed.ended([("key", "another")], version)
    assert not feed.ended([("client", "c1")], 7)
    clock.pass_by(2 * KEPT)
    feed.take(octets(document([], after=last, iat=NOW + 2 * KEPT)))
    assert feed.ended([("key", "stolen")], strict_json.MAX_INTEGER)
    assert not feed.ended([("client", "c1")], 6), "of which no token can be left"
