"""Raw SQL enables an agent for a moment, whose disabling has a higher number than all dropped events.

After a drop, a token of a disabled subject is no finding if the event that enabled the subject again may have been
dropped. Such an event has a higher number than the disabling. If the disabling has a higher number than all dropped
events, there was no such event. But only the version is compared, with that of the checkpoint which covers the last
dropped event: the checkpoint can cover the disabling and a later change, too.

The server that disables the agent is 25 seconds ahead in the last minute of the month, so a drop leaves its events.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from authsec_server.audit.service import prepare_months
from authsec_server.clients import service as clients
from authsec_server.clients.model import Onboarding
from authsec_server.db import Database

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year, midnight, noon


@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
def test_a_token_after_the_disabling_is_found(database: Database) -> None:
    year = Year(database)
    other = Onboarding(name="Other", platform="unattested")
    year.do(lambda tx, act: clients.create(tx, act, other))
    year.settle()
    year.database.append(lambda tx: prepare_months(tx, midnight(9)))
    year.at = midnight(9) - timedelta(seconds=20)
    year.issue("other", jti=f"{JTI[:-1]}2")  # the last event that is dropped
    year.at = midnight(9) + timedelta(seconds=6)  # of the server ahead
    year.do(lambda tx, act: clients.disable(tx, act, "helper"))
    year.do(lambda tx, act: clients.revoke_tokens(tx, act, "other"))
    year.seal(midnight(9) - timedelta(seconds=18))
    year.at = noon(9)
    year.settle()
    year.drop(9)
    assert year.report().findings == ()
    year.at += timedelta(days=1)
    year.issue()  # the agent is enabled for a moment
    year.settle()
    assert "issued a token to the client" in "".join(year.report().findings)
