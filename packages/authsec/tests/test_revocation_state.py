"""Reading batches of the feed, and what of a token they end."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from authsec.verifier.documents import DocumentRefused
from authsec.verifier.revocations.authority_source import Messages
from authsec.verifier.revocations.batch import Batch, BatchRefused, read_batch, subjects_of
from authsec.verifier.revocations.state import KEPT, RevocationState
from hypothesis import given
from hypothesis import strategies as st

from .fake_feed import document, entry, given_feed_keys, octets
from .fake_keys import ISSUER, NOW, claims

SUPPORT = hashlib.sha256(b"support").hexdigest()
ATTESTED = {"method": "kubernetes", "proof": "p1", "source": "s1"}


def read(batch: Mapping[str, Any], *, asked: int = 0, now: float = NOW) -> Batch:
    return read_batch(octets(batch), issuer=ISSUER, asked=asked, keys=given_feed_keys(), now=now)


def ended(state: RevocationState, kid: str = "current", **changes: Any) -> bool:
    its = claims(**{"attestation": ATTESTED, **changes})
    return state.ended(subjects_of(its, kid), its["authority_version"])


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("client", claims()["client_id"]),
        ("delegation", "d1"),
        ("role", SUPPORT),
        ("proof", "p1"),
        ("source", "s1"),
        ("token", claims()["jti"]),
    ],
)
def test_an_entry_ends_the_tokens_below_its_version(kind: str, subject: str) -> None:
    state = RevocationState()
    state.apply(read(document([entry(1, kind, subject, version=8)])))
    assert ended(state, authority_version=7)
    assert not ended(state, authority_version=8)
    others = RevocationState()
    others.apply(read(document([entry(1, kind, subject + "0", version=8), entry(2, "client", subject, version=7)])))
    assert not ended(others, authority_version=7)


def test_a_token_without_proof_and_source_is_judged_by_the_rest() -> None:
    state = RevocationState()
    state.apply(read(document([entry(1, "proof", "p1"), entry(2, "delegation", "d2")])))
    neither = claims()["attestation"]
    assert not ended(state, attestation=neither)
    assert ended(state, attestation=neither, delegation_ids=["d1", "d2"])


def test_what_no_token_can_live_to_see_is_forgotten_by_the_clock_of_the_authority() -> None:
    state = RevocationState()
    state.apply(read(document([entry(n, "token", f"t{n}", at=NOW - 60 * n) for n in range(1, 101)])))
    assert len(state) == 100
    later = NOW + KEPT - 60 * 50
    state.apply(read(document([], since=100, iat=later), asked=100, now=later))
    assert len(state) == 50
    assert ended(state, jti="t50")
    assert not ended(state, jti="t51")


BATCHES = st.lists(
    st.tuples(
        st.booleans(),
        st.lists(st.tuples(st.sampled_from(["client", "delegation", "key"]), st.sampled_from("ab"), st.integers(0, 9))),
        st.integers(0, 30),
    ),
    max_size=8,
)


@given(BATCHES)
def test_what_was_refused_once_is_never_accepted_again(story: list[tuple[bool, list[Any], int]]) -> None:
    """Whatever follows: batches, snapshots, a database that begins anew."""
    tokens = [{"client_id": c, "delegation_ids": [d], "kid": k, "authority_version": v} for c, d, k, v in
              [("a", "b", "a", 3), ("b", "b", "b", 5), ("a", "a", "b", 0), ("b", "a", "x", 8)]]  # fmt: skip
    state, refused = RevocationState(), set[int]()
    for snapshot, made, start in story:
        first = start if snapshot and made else state.reached.sequence * (not snapshot)
        entries = [entry(first + n + 1, *each) for n, each in enumerate(made)]
        state.apply(read(document(entries, since=first, snapshot=snapshot), asked=state.reached.sequence))
        now = {n for n, token in enumerate(tokens) if ended(state, **token)}
        assert refused <= now
        refused = now


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": "planet"}, "does not know"),
        ({"kind": ["client"]}, "does not know"),
        ({"subject": ""}, "lacks"),
        ({"version": True}, "lacks"),
        ({"sequence": "1"}, "lacks"),
        ({"at": "yesterday"}, "no time"),
        ({"at": "2026-11-26T04:00:00"}, "no time"),
    ],
)
def test_entries_that_are_not_understood(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(BatchRefused, match=why):
        read(document([{**entry(1), **changes}], through=1, last=1))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"entries": []}', b'{"entries": [], "entries": [], "head": ""}'])
def test_bodies_that_are_no_batch(body: bytes) -> None:
    with pytest.raises(BatchRefused):
        read_batch(body, issuer=ISSUER, asked=0, keys=given_feed_keys(), now=NOW)


def test_messages_however_they_are_cut() -> None:
    stream = (
        b': hello\r\n\r\nevent: batch\r\nid: 3\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
        b"event: other\ndata: x\n\nevent:batch\ndata:2\n\n"
    )
    for size in range(1, len(stream)):
        messages = Messages(100)
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [each for piece in pieces for each in messages.split(piece)] == [b'{"a":\n1}', b"2"]


@pytest.mark.parametrize("piece", [b"data: 12345678\n", b"12345678"])
def test_a_message_without_end(piece: bytes) -> None:
    messages = Messages(100)
    pieces = itertools.repeat(piece, 20)
    with pytest.raises(DocumentRefused, match="larger than 100 bytes"):
        list(itertools.chain.from_iterable(map(messages.split, pieces)))
