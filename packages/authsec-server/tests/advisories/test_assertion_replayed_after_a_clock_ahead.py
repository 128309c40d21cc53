"""The clock of a server, or of the machine on which an operator runs a command, is ten minutes ahead. Nobody attacks.

Its maintenance deleted the used assertions that had expired by its clock. On a shared PostgreSQL, these are the
assertions of all servers. A thief who had read an assertion sent it again to a server with a right clock, which issued
another token. On PostgreSQL the clock is compared, and the server is not ready, but the maintenance ran.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.app.lifecycle import open_authority
from authsec_server.app.runtime import Runtime
from authsec_server.settings import load_settings
from databases import settings_for

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("command", [pytest.param(True, marks=pytest.mark.soak), False], ids=["a command", "a server"])
def test_no_assertion_is_forgotten_by_a_wrong_clock(
    house: Callable[..., Any], database_url: str, tmp_path: Path, command: bool
) -> None:
    settings = settings_for(database_url, tmp_path)
    its = house(**settings)
    its.clock.at = datetime.now(UTC)  # as PostgreSQL's
    agent = its.delegated_agent()
    headers = {"Authorization": f"Bearer {agent.assertion(its.clock.now())}"}

    def status() -> int:
        answer = its.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers)
        found: int = answer.status_code
        return found

    assert (status(), status()) == (200, 401)
    ahead = Runtime(now=lambda: its.clock.now() + timedelta(minutes=10))
    with open_authority(load_settings(data=tmp_path / "other", **settings), local_operator=command, runtime=ahead):
        pass
    assert status() == 401
