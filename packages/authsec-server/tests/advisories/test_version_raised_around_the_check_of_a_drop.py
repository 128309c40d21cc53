"""Raw SQL raises the authority version before a month's last event is sealed, and lowers it for the snapshot of a drop.

The event of a drop has the version of the snapshot that `verify` confirmed. After a drop, gaps in the chain of digests
are accepted below the version of the checkpoint that covers the last dropped event. Both are read from the same row, at
two times. With a higher version at the first time, the event of the drop is below the bound itself, so a gap after that
event is accepted. Raw SQL then changes any row, and the next change of the table records the digest of these rows.

Nothing else is recorded between the month's last event and the drop, as if a cron job drops the month at its end. The
version is raised again after the snapshot, so no server meets a lower version than before.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.clients import service as clients
from authsec_server.clients.model import Onboarding
from authsec_server.db import Database
from sealed_estate import listed, swapped

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight

pytestmark = pytest.mark.changes_rows_only


@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
def test_a_list_shows_the_events_of_its_agent_or_the_changed_rows_are_found(database: Database) -> None:
    year = Year(database)
    for name in ("Other", "Third"):
        new = Onboarding(name=name, platform="unattested")
        year.do(lambda tx, act, new=new: clients.create(tx, act, new))
    version = year.database.read(lambda tx: tx.version)
    year.run(f"UPDATE authority SET version = {version + 5}")  # before the last event of the month is sealed
    year.settle()

    class Lowered(Dropper):
        def _check_seals(self, *what: Any, **how: Any) -> Any:
            """Raw SQL writes to the database just before and just after the check."""
            year.run(f"UPDATE authority SET version = {version}")
            confirmed = super()._check_seals(*what, **how)
            year.run(f"UPDATE authority SET version = {version + 5}")
            return confirmed

    first = year.dropper
    year.dropper = Lowered(database=first.database, sealer=first.sealer, issuer=first.issuer, keys=first.keys)
    year.at = midnight(9) + timedelta(minutes=4)
    roll_up(year.database, year.at)
    year.drop(9)
    year.dropper = first
    year.issue()
    year.settle()
    assert year.report().findings == ()

    def of_the_agent() -> list[int]:
        return year.database.read(lambda tx: listed(tx, {"client": "helper", "kind": "token."}))

    before = of_the_agent()
    assert len(before) == 1
    for each in (*swapped("clients", "slug", "helper", "other"), "DELETE FROM table_digests"):
        year.run(each)
    year.at += timedelta(days=1)
    year.do(lambda tx, act: clients.disable(tx, act, "third"))
    year.settle()
    assert of_the_agent() == before or year.report().findings
