"""The clock of a server is nine days ahead when the server starts on a shared PostgreSQL. Nobody attacks.

The server is not ready, and signs no checkpoint. But its maintenance ran at the start and once a minute: it deleted
the revocations of the last eight days except the newest one, because by its clock all tokens that they revoke had
expired. An API that started with the feed accepted the revoked tokens again, the console showed them as live, and
`verify` said that the rows were missing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.app.lifecycle import open_authority
from authsec_server.app.runtime import Runtime
from authsec_server.audit.sealing.verifying import verify
from authsec_server.settings import load_settings
from databases import settings_for

pytestmark = pytest.mark.changes_rows_only

DISABLED = "SELECT subject_id FROM revocations WHERE subject_kind = 'client' ORDER BY sequence"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_revocation_is_forgotten_by_a_wrong_clock(
    house: Callable[..., Any], database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(database_url, tmp_path)
    its = house(**settings)
    its.clock.at = datetime.now(UTC)  # as PostgreSQL's
    local = house(local_operator=True, **settings).door()
    agents = [its.delegated_name(name) for name in ("First", "Second")]
    for agent in agents:
        assert local.post(f"/authsec/api/v1/clients/{agent}/disable").status_code == 200
    database = its.authority.database

    def disabled() -> list[str]:
        return database.read(lambda tx: list(tx.connection.exec_driver_sql(DISABLED).scalars()))

    assert disabled() == agents
    ahead = Runtime(now=lambda: its.clock.now() + timedelta(days=9))
    with open_authority(load_settings(data=tmp_path / "other", **settings), runtime=ahead):
        pass
    its.authority.dropper.sealer.seal()
    report = database.check(
        lambda tx: verify(tx, its.authority.sealing_keyring.by_kid(), now=its.clock.now() + timedelta(minutes=1))
    )
    assert disabled() == agents
    assert report.findings == ()
