"""Raw SQL takes the row of a signing key away, waits until `authsec admin restored` revokes all keys, and puts it back.

The command promises to revoke all tokens and to replace every signing key. The key that was away is in none of its
events and digests. Afterwards it is active again: published to every API, and a thief signs tokens. All tokens
that it signed before are live.
"""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.app.restoration import open_restoration
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.restore_loss import Loss
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.keys import service as keys
from authsec_server.keys.model import KeyState
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import load_settings


@pytest.mark.sqlite_suffices
def test_every_key_is_revoked_or_the_one_that_was_away_is_found(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    file.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    file.chmod(0o600)
    with open_restoration(load_settings(data=tmp_path, database=database_url, master_key_file=file)) as its:
        database, ring = its.database, its.authority_keys.sealing_keyring
        now = its.runtime.now()
        act = Act(principal=LOCAL_OPERATOR, now=now, request_id="", address="", token_bytes=secrets.token_bytes)
        its.authority_keys.key_ring.keep(act)
        ring.keep(now)

        def seal() -> None:
            at = its.runtime.now() + timedelta(minutes=10)
            sealer = Sealer(
                database, issuer="https://a", signing_key=ring.signing_key, keys=ring.by_kid, now=lambda: at
            )
            while sealer.seal():
                pass

        def execute(*statements: str) -> None:
            for each in statements:
                database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)

        def states(tx: Any) -> dict[str, KeyState]:
            return {key.kid: key.state for key in keys.every(tx, act)}

        seal()
        before = database.read(states)
        (active,) = [kid for kid, state in before.items() if state is KeyState.ACTIVE]
        execute(
            f"CREATE TABLE kept AS SELECT * FROM signing_keys WHERE kid = '{active}'",
            f"DELETE FROM signing_keys WHERE kid = '{active}'",
        )
        its.record(Loss())
        execute("INSERT INTO signing_keys SELECT * FROM kept", "DROP TABLE kept")
        seal()
        signed = database.read(lambda tx: store.last_signed(tx.connection))
        assert signed is not None
        outside = read_checkpoint(signed, ring.by_kid())
        later = its.runtime.now() + timedelta(minutes=11)
        report = database.check(lambda tx: verify(tx, ring.by_kid(), [outside], now=later))
        assert database.read(states)[active] is not KeyState.ACTIVE or report.findings, report
