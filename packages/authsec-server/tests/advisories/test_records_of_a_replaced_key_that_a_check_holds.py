"""Raw SQL inserts very many events that say that the sealing key was replaced, with records that no key has signed.

`verify` and each server that starts once held all these records in memory, four gigabytes for a million. They verify
the signature of each record as they read it, and hold only valid records. Raw SQL can also give an event a number that
is out of order, so a record may be read before the record that introduces its key.
"""

from __future__ import annotations

import json
import secrets
import tracemalloc
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from audit_answers import LATER, fill
from authsec.jose import PrivateKey
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.succession import (
    LONGEST,
    TYPE,
    is_replacement,
    sign_replacement,
    streamed_succession,
    succession,
)
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

pytestmark = pytest.mark.sqlite_suffices
FEW, MANY = 1000, 1500
MOST = 2500  # octets of memory for each planted event; each record has about 4,000
KEYS = [PrivateKey.generate_ed25519() for _ in range(4)]


def unsigned(number: int) -> str:
    """A record with the form of a genuine one."""
    parts = (
        json.dumps({"alg": "EdDSA", "kid": "k" * 43, "typ": TYPE}).encode(),
        json.dumps({"iat": number, "x": "x" * 2800}).encode(),
        bytes(64),
    )
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


class Attacked:
    """A sealed audit log with planted records."""

    def __init__(self, database: Database) -> None:
        self.database, self.log = database, fill(database)
        self.now, self.planted = LATER + timedelta(minutes=12), 0
        self.keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)

    def server(self) -> Sealer:
        key, by_kid = self.keys.signing_key, self.keys.by_kid
        return Sealer(self.database, issuer="https://a", signing_key=key, keys=by_kid, now=lambda: self.now)

    def plant(self, number: int) -> None:
        """Insert records until there are so many, and seal them."""

        def work(tx: Tx) -> None:
            (row,) = tx.connection.execute(select(events).where(events.c.kind == "admin_key.created").limit(1))
            values = row._asdict() | {"kind": "seal_key.replaced", "at": LATER}
            del values["id"]
            for each in range(self.planted, number):
                tx.connection.execute(insert(events).values(values | {"detail": {"record": unsigned(each)}}))

        self.database.append(work)
        self.planted = number
        sealer = self.server()
        while sealer.seal():
            pass

    def verify(self) -> None:
        keys, kept = self.log.keys, [self.log.checkpoint]
        report = self.database.read(
            lambda tx: verify_log(tx, keys, kept, now=self.now, counts=False, may_ask=lambda: False)
        )
        assert report.findings == ()

    def start(self) -> None:
        self.server().key()


@pytest.mark.soak  # millions of bytes; the bounds themselves are in every run
@pytest.mark.parametrize("work", [Attacked.verify, pytest.param(Attacked.start, marks=pytest.mark.soak)])
def test_records_that_no_key_has_signed_are_not_held(database: Database, work: Callable[[Attacked], None]) -> None:
    assert is_replacement(unsigned(MANY))
    assert len(unsigned(MANY)) <= LONGEST
    attacked = Attacked(database)
    peaks = []
    for number in (FEW, MANY):
        attacked.plant(number)
        tracemalloc.start()
        work(attacked)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / (MANY - FEW) < MOST


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from(range(len(KEYS))), st.sampled_from(range(len(KEYS))), st.booleans()
        ),
        max_size=8,
    )
)
def test_records_in_any_order_give_the_result_of_their_places(records: list[tuple[int, int, int, bool]]) -> None:
    signed = [
        (place, sign_replacement(KEYS[new].public, at=LATER, issuer="https://a", key=KEYS[old]) + "A" * is_forged)
        for place, old, new, is_forged in records
    ]
    first = {KEYS[0].public.thumbprint(): KEYS[0].public}

    def read() -> Iterator[tuple[int, str]]:
        yield from signed

    streamed, sorted_ = streamed_succession(read, first), succession(sorted(signed), first)
    assert (streamed.ends, streamed.after, set(streamed.keys)) == (sorted_.ends, sorted_.after, set(sorted_.keys))
