"""Round two: checkpoints that the sealing key has signed, with numbers that end `verify` or a list with a traceback."""

from __future__ import annotations

from datetime import datetime

import pytest
from audit_answers import LATER, answers, fill
from authsec.jose import sign_compact
from authsec_server.audit.sealing.checkpoints import TYPE
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import checkpoints
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from long_runs import some_of
from sqlalchemy import insert

pytestmark = pytest.mark.sqlite_suffices


@pytest.mark.parametrize("claim", some_of([{"iat": 2**53 - 1}, {"through": 2**53 - 1}], each=2), ids=["iat", "through"])
def test_a_checkpoint_with_a_huge_number_ends_no_check_and_no_list(database: Database, claim: dict[str, int]) -> None:
    log = fill(database)
    said = database.append(lambda tx: answers(tx, log.covered))
    key = SealingKeys(database, MasterKey(bytes(32)), token_bytes=bytes).signing_key()
    at = datetime.fromisoformat("2026-11-25T16:00:00+00:00")
    claims = {"iss": "https://a", "iat": int(at.timestamp()), "size": log.checkpoint.size, "root": log.checkpoint.root}
    claims |= {"through": log.checkpoint.through} | claim
    signed = sign_compact({"typ": TYPE, "kid": key.public.thumbprint()}, claims, key)
    database.append(
        lambda tx: (
            tx.connection.execute(insert(checkpoints).values(size=log.checkpoint.size, at=at, signed=signed)) and None
        )
    )
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER))
    now = database.append(lambda tx: answers(tx, log.covered))
    assert report.findings or now == said, [name for name in now if now[name] != said[name]]
