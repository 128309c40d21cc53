"""The clock of a machine is nine days behind. An operator disables an agent there, on a shared PostgreSQL.

Nobody attacks. The command says that the agent is disabled, and the row of revocations has a time of nine days ago. All
other clocks are right. Once another revocation followed, the maintenance of any server deleted the row within a minute:
by its time, all tokens that it revokes had expired. An API that started then accepted the tokens of the agent again,
and a running API forgot the revocation within an hour. The console showed the tokens as live. `verify` expects no row
of nine days ago, and found nothing.
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

DISABLED = "SELECT subject_id FROM revocations WHERE subject_kind = 'client' ORDER BY sequence"


@pytest.mark.soak  # test_revocations_forgotten_by_a_clock_ahead.py is its neighbour
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_revocation_is_forgotten_because_a_clock_was_behind(
    house: Callable[..., Any], database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(database_url, tmp_path)
    its, behind = house(**settings), house(local_operator=True, **settings)
    its.clock.at = datetime.now(UTC)  # as PostgreSQL's
    behind.clock.at = its.clock.at - timedelta(days=9)
    local = behind.door()
    agents = [its.delegated_name(name) for name in ("First", "Second")]
    database = its.authority.database

    def disabled() -> list[str]:
        return database.read(lambda tx: list(tx.connection.exec_driver_sql(DISABLED).scalars()))

    assert local.post(f"/authsec/api/v1/clients/{agents[0]}/disable").status_code == 200
    behind.clock.at = its.clock.at
    assert local.post(f"/authsec/api/v1/clients/{agents[1]}/disable").status_code == 200
    assert disabled() == agents
    right = Runtime(now=its.clock.now)
    with open_authority(load_settings(data=tmp_path / "other", **settings), runtime=right):
        pass
    its.authority.dropper.sealer.seal()
    report = database.check(
        lambda tx: verify(tx, its.authority.sealing_keyring.by_kid(), now=its.clock.now() + timedelta(minutes=1))
    )
    assert disabled() == agents or report.findings
