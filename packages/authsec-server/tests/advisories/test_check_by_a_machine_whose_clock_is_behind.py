"""Old months are dropped just after midnight. A machine runs `verify` then, with its clock four minutes behind.

The end of the counted events is then in the machine's future. `verify` called it a finding, although nobody changed it.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight


def test_the_drop_is_no_finding(database: Database) -> None:
    year = Year(database)
    year.settle()
    year.at = midnight(9) - timedelta(minutes=30)
    year.settle()
    year.at = midnight(9) + timedelta(minutes=2)
    roll_up(database, year.at)
    year.drop(9)
    now = midnight(9) + timedelta(minutes=3) - timedelta(minutes=4)
    given = [KeptExport("f", year.files[0])]
    report = database.read(lambda tx: verify_log(tx, year.keys(), given=given, now=now))
    assert report.findings == ()
