"""A restore names one agent twice, by its slug and by its id.

A second disabling in the same change would write a second row of revocations and a second event of the same act.
`verify` would take the second row for a copy that raw SQL made.
"""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta
from pathlib import Path

import pytest
from authsec_server.app.restoration import open_restoration
from authsec_server.audit.sealing.restore_loss import Loss
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.clients import service
from authsec_server.clients.model import Onboarding
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import load_settings

pytestmark = pytest.mark.sqlite_suffices


@pytest.mark.parametrize("by", ["the same name twice", "its slug and its id"])
def test_the_restore_disables_the_agent_once_and_is_no_finding(database_url: str, tmp_path: Path, by: str) -> None:
    file = tmp_path / "master.key"
    file.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    file.chmod(0o600)
    with open_restoration(load_settings(data=tmp_path, database=database_url, master_key_file=file)) as restoration:
        ring, now = restoration.authority_keys.sealing_keyring, restoration.runtime.now()
        act = Act(principal=LOCAL_OPERATOR, now=now, request_id="", address="", token_bytes=secrets.token_bytes)
        restoration.authority_keys.key_ring.keep(act)
        ring.keep(now)
        helper = Onboarding(name="Helper", platform="unattested")
        client = restoration.database.change(lambda tx: service.create(tx, act, helper))
        restored = restoration.record(
            Loss(), disable=["helper", "helper" if by == "the same name twice" else client.id]
        )
        assert restored.disabled == ["helper"]
        sealer = Sealer(
            restoration.database,
            issuer=restoration.settings.issuer,
            signing_key=ring.signing_key,
            keys=ring.by_kid,
            now=lambda: restoration.runtime.now() + timedelta(minutes=1),
        )
        while sealer.seal():
            pass
        report = restoration.database.read(lambda tx: verify_log(tx, ring.by_kid(), now=restoration.runtime.now()))
        assert report.findings == ()
