"""Whatever a shared file holds, its reader knows nothing that is not so, and does not think that it knows more."""

from __future__ import annotations

import math
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from authsec.verifier.revocations.batch import LEEWAY, BatchRefused
from authsec.verifier.revocations.shared_file import SharedFile, SharedFileReader
from authsec.verifier.revocations.state import Feed
from hypothesis import given
from hypothesis import strategies as st

from .fake_feed import document, entry, given_feed_keys, octets
from .fake_keys import ISSUER, NOW, FakeClock

MADE, BETWEEN = 6, 12  # so many entries, and so many seconds between two of them
HISTORY = [entry(n, subject=f"c{n}", at=NOW + n * BETWEEN) for n in range(1, MADE + 1)]


def honest(since: int, through: int, last: int, **head: Any) -> dict[str, Any]:
    """What the authority says when `last` was the last that had ended."""
    since, through, last = sorted((since, through, last))
    claims = {"iat": NOW + last * BETWEEN, "through": through, "last": last, **head}
    return document(HISTORY[since:through], after=HISTORY[since - 1] if since else None, **claims)


def ending(n: int, **head: Any) -> dict[str, Any]:
    """A batch that ends somebody who was not ended."""
    return document([entry(n, subject="c0")], after=HISTORY[n - 2] if n > 1 else None, **head)


def altered(batch: dict[str, Any], n: int, subject: str | None) -> dict[str, Any]:
    """With an entry about somebody else, or without it, under a head that was true."""
    changed = [{**each, "subject": subject} if each["sequence"] == n else each for each in batch["entries"]]
    return {**batch, "entries": [each for each in changed if each["subject"] is not None]}


def flipped(line: bytes, at: int, bit: int) -> bytes:
    at %= len(line)
    return line[:at] + bytes([line[at] ^ (1 << bit)]) + line[at + 1 :]


COUNT = st.integers(0, MADE)
BATCH = st.builds(honest, COUNT, COUNT, COUNT)
TRUE = BATCH.map(octets)
FALSE = st.one_of(
    st.builds(altered, BATCH, COUNT, st.sampled_from([None, "c0"])),
    st.builds(ending, st.integers(1, MADE), key=st.just("nobody's")),
    st.builds(ending, st.integers(1, MADE), iss=st.just("https://other.example.com")),
).map(octets)
NOISE = st.one_of(
    st.builds(flipped, TRUE, st.integers(0, 10_000), st.integers(0, 7)),
    st.builds(lambda line, n: line[: n % len(line)], TRUE, st.integers(0, 10_000)),
    st.binary(max_size=40),
)


@given(st.lists(st.one_of(TRUE, FALSE, NOISE), max_size=12), st.booleans())
def test_what_is_read_is_so_and_as_recent_as_it_is_said_to_be(lines: list[bytes], ended: bool) -> None:
    clock = FakeClock()
    clock.pass_by(MADE * BETWEEN)
    feed = Feed(ISSUER, given_feed_keys(), clock.clock())
    with tempfile.TemporaryDirectory() as folder:
        place = SharedFile(path=Path(folder) / "revocations", issuer=ISSUER)
        place.path.write_bytes(place.header + b"\n".join(lines) + b"\n" * ended)
        place.path.chmod(0o600)
        reading = SharedFileReader(place)
        for line in reading.lines():
            with suppress(BatchRefused):  # the property is about what was believed
                feed.apply_shared(line)
        reading.end()
    known = {n for n in range(MADE + 1) if feed.ended([("client", f"c{n}")], 7)}
    assert known <= set(range(1, MADE + 1))  # nobody was ended who was not
    assert known == set(range(1, feed.sequence + 1))
    as_of = -math.inf if feed.age() == math.inf else clock.wall - feed.age() - LEEWAY
    assert known >= {n for n in range(1, MADE + 1) if NOW + n * BETWEEN <= as_of}


@given(st.lists(TRUE, max_size=8), st.integers(1, 60))
def test_a_line_is_read_once_however_it_is_cut(lines: list[bytes], size: int) -> None:
    whole, heard = b"".join(line + b"\n" for line in lines), []
    with tempfile.TemporaryDirectory() as folder:
        place = SharedFile(path=Path(folder) / "revocations", issuer=ISSUER)
        place.path.write_bytes(place.header)
        place.path.chmod(0o600)
        reading = SharedFileReader(place)
        with place.path.open("ab", buffering=0) as file:
            for start in range(0, len(whole), size * 20):
                file.write(whole[start : start + size * 20])
                heard += list(reading.lines())
        reading.end()
    assert heard == lines
