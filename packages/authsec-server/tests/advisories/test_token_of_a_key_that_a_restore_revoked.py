"""A restore revokes a signing key that the backup did not have. Raw SQL inserts the key's row again for a moment.

The row is in any copy of the lost database. No event names the key, only the record of the restore. So `verify` once
found no token of the key.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from authsec_server.app.restoration import open_restoration
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind
from authsec_server.audit.sealing.restore_loss import Loss
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import load_settings

LOST = "U" * 43


@pytest.mark.sqlite_suffices  # test_ended_subjects.py finds such a token on PostgreSQL
def test_the_token_is_found(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    file.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    file.chmod(0o600)
    with open_restoration(load_settings(data=tmp_path, database=database_url, master_key_file=file)) as its:
        now, ring = its.runtime.now(), its.authority_keys.sealing_keyring
        act = Act(principal=LOCAL_OPERATOR, now=now, request_id="", address="", token_bytes=secrets.token_bytes)
        its.authority_keys.key_ring.keep(act)
        ring.keep(now)
        assert its.record(Loss(signing_keys=frozenset({LOST}))).revoked_unknown == [LOST]
        issuer = its.settings.issuer
        sealer = Sealer(
            its.database, issuer=issuer, signing_key=ring.signing_key, keys=ring.by_kid, now=its.runtime.now
        )

        def findings() -> tuple[str, ...]:
            while sealer.seal():
                pass
            return its.database.read(lambda tx: verify_log(tx, ring.by_kid(), now=its.runtime.now())).findings

        def issue(kid: str) -> int:
            event = Event(
                at=its.runtime.now(),
                kind=EventKind.TOKEN_ISSUED,
                request_id=f"req_{secrets.token_hex(12)}",
                decision=Decision.GRANTED,
                jti=secrets.token_hex(16),
                kid=kid,
                token_sha256="0" * 64,
                expires_at=its.runtime.now() + timedelta(hours=1),
            )
            return its.database.record(lambda tx: audit.record(tx, replace(event, authority_version=tx.version)))

        issue("another")
        assert findings() == ()
        number = issue(LOST)
        (found,) = findings()
        assert found.startswith(f"Event {number} issued a token with the signing key {LOST}, which event ")
