"""Somebody inserts very many events that say that the sealing key was replaced, with records that no key has signed.

The sealer ends its batch at each such event, and signs a checkpoint for it. Before each pass it reads all those events
that are sealed. So the time grows with the square of their number: 1,000 of them keep genuine events from their seal
for minutes, 20,000 for hours. The server's log says nothing. Once sealed, no drop ever removes them.
"""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest
from audit_answers import ANN, LATER, fill
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.succession import TYPE
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

FORGED = 5
KID = "k" * 43


def unsigned(number: int) -> str:
    """A record with the form of a genuine one."""
    parts = (json.dumps({"alg": "EdDSA", "kid": KID, "typ": TYPE}).encode(), b'{"iat":%d}' % number, bytes(64))
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.xfail(strict=True, reason="the sealer ends a batch at each event of this kind, whoever wrote it")
def test_events_with_forged_records_are_sealed_together(database: Database) -> None:
    fill(database)
    at = LATER + timedelta(minutes=11)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)

    def plant(tx: Tx) -> None:
        for number in range(FORGED):
            event = Event(
                at=at,
                kind=EventKind.SEAL_KEY_REPLACED,
                request_id="req_forged",
                principal=ANN,
                subject=Named(id=KID, name=KID),
                address="192.0.2.9",
                kid=KID,
                detail={"record": unsigned(number), "replaces": KID},
            )
            audit.record(tx, event)

    database.append(plant)
    passes = 1
    while sealer.seal():
        passes += 1
    assert passes < FORGED
