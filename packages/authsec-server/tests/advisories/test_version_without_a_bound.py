"""Somebody inserts an event or a revocation of the highest version that a column holds: no restore can be recorded."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest
from authsec_server.app.restoration import VERSIONS, open_restoration
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.sealing.restore_loss import Loss
from authsec_server.db.versions import HIGHEST_LIKELY_VERSION
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import load_settings
from long_runs import some_of
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

EVENT = (
    "INSERT INTO events (at, kind, request_id, delegations, roles, reason, address, authority_version, jti, kid,"
    " token_sha256, detail, occurrences) SELECT at, kind, request_id, delegations, roles, reason, address, {version},"
    " jti, kid, token_sha256, detail, occurrences FROM events WHERE id = 1"
)
ROW = "INSERT INTO revocations SELECT 9, 'client', 'c-1', {version}, at FROM events WHERE id = 1"


@pytest.mark.parametrize("version", some_of([2**63 - 1, MAX_NUMBER, HIGHEST_LIKELY_VERSION + 1]))
@pytest.mark.parametrize("statement", [EVENT, ROW], ids=["event", "revocation"])
def test_a_restore_is_recorded_all_the_same(database_url: str, tmp_path: Path, statement: str, version: int) -> None:
    file = tmp_path / "master.key"
    file.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    file.chmod(0o600)
    with open_restoration(load_settings(data=tmp_path, database=database_url, master_key_file=file)) as restoration:
        act = Act(
            principal=LOCAL_OPERATOR,
            now=restoration.runtime.now(),
            request_id="",
            address="",
            token_bytes=secrets.token_bytes,
        )
        restoration.authority_keys.key_ring.keep(act)
        restoration.database.append(lambda tx: tx.connection.execute(text(statement.format(version=version))))
        before = restoration.database.read(lambda tx: tx.version)
        assert restoration.record(Loss()).authority_version == before + 1 + VERSIONS
