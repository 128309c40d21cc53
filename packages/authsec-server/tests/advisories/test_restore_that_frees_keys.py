"""After a recorded restore somebody inserts or moves the revocation of a signing key.

A restore revokes keys that the backup does not have, so that no event names them. `verify` once believed every row of
a key from then on. Now the signed record names these keys, at its version and time.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from authsec_server.app.restoration import Restoration, open_restoration
from authsec_server.audit.sealing.restore_loss import Loss
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Tx
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import load_settings
from long_runs import some_of
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

UNKNOWN = "U" * 43
OF_UNKNOWN = f"WHERE subject_id = '{UNKNOWN}'"
COPY = "INSERT INTO revocations SELECT sequence + 9, 'key', {kid}, version + {more}, at FROM revocations " + OF_UNKNOWN
WAYS = {
    "another key": COPY.format(kid="'other'", more=0),
    "another key later": COPY.format(kid="'other'", more=1),
    "the key once more": COPY.format(kid="subject_id", more=1),
    "moved in time": "UPDATE revocations SET at = (SELECT min(at) FROM events) " + OF_UNKNOWN,
    "moved in versions": "UPDATE revocations SET version = version + 1 " + OF_UNKNOWN,
    "deleted": "DELETE FROM revocations " + OF_UNKNOWN,
}


class Undone(Exception):
    """Rolls the attack back."""


@pytest.fixture
def restored(database_url: str, tmp_path: Path) -> Iterator[Restoration]:
    """A database that was restored from a backup without the key `UNKNOWN`, and sealed after that."""
    file = tmp_path / "master.key"
    file.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    file.chmod(0o600)
    with open_restoration(load_settings(data=tmp_path, database=database_url, master_key_file=file)) as its:
        now, sealing_keyring = its.runtime.now(), its.authority_keys.sealing_keyring
        act = Act(principal=LOCAL_OPERATOR, now=now, request_id="", address="", token_bytes=secrets.token_bytes)
        its.authority_keys.key_ring.keep(act)
        sealing_keyring.keep(now)
        assert its.record(Loss(signing_keys=frozenset({UNKNOWN}))).revoked_unknown == [UNKNOWN]
        sealer = Sealer(
            its.database,
            issuer=its.settings.issuer,
            signing_key=sealing_keyring.signing_key,
            keys=sealing_keyring.by_kid,
            now=its.runtime.now,
        )
        while sealer.seal():
            pass
        assert its.database.read(lambda tx: findings(its, tx)) == ""
        yield its


def findings(its: Restoration, tx: Tx) -> str:
    return "\n".join(
        verify_log(tx, its.authority_keys.sealing_keyring.by_kid(), now=its.runtime.now(), counts=False).findings
    )


@pytest.mark.parametrize("way", some_of(WAYS))
def test_a_changed_revocation_of_a_key_is_found(restored: Restoration, way: str) -> None:
    found: list[str] = []

    def attempt(tx: Tx) -> None:
        assert tx.connection.execute(text(WAYS[way])).rowcount
        found.append(findings(restored, tx))
        raise Undone

    with pytest.raises(Undone):
        restored.database.append(attempt)
    assert "revoked the tokens of the key" in found[0]
