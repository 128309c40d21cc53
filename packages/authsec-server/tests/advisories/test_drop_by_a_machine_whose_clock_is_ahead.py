"""An operator drops old months on a machine whose clock is ten minutes ahead.

That machine dates the record of the drop, and a server seals the record within a second. The record would seem to come
after the checkpoint that covers it: `verify` would end with a finding for ever, and refuse each later drop.
On SQLite, the command runs on the machine of the server, so both have the same clock.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from authsec_server.app.readiness_probe import sealing_time
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing.exporting import export
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database
from authsec_server.failures import Conflict

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight


@pytest.mark.parametrize("seconds", [600, pytest.param(-600, marks=pytest.mark.soak)], ids=["ahead", "behind"])
def test_the_drop_is_refused_until_the_clock_is_right(database: Database, seconds: int) -> None:
    if database.read(lambda tx: tx.connection.dialect.name) != "postgresql":
        pytest.skip("SQLite has no clock of its own")
    year = Year(database)
    year.at = midnight(9) + timedelta(days=3)
    year.settle()
    off = timedelta(seconds=seconds)
    sealer = Sealer(
        database,
        issuer="https://a",
        signing_key=year.sealing_keyring.signing_key,
        keys=year.keys,
        now=lambda: year.at + off,
        pass_time=lambda before, after, _: sealing_time(before, after, year.at),
    )
    operator = replace(year.dropper, sealer=sealer)
    roll_up(database, year.at)
    lines = list(export(database))
    year.files.append(lines)

    def drop() -> None:
        act = replace(year.act, now=year.at + off)
        operator.drop(act, midnight(8), lines, sha256("".join(lines).encode()).hexdigest())

    with pytest.raises(Conflict, match="The clock of this machine differs from the database's clock"):
        drop()
    off = timedelta(seconds=20)
    drop()
    year.settle()
    year.at += timedelta(hours=2)
    year.settle()
    assert year.report().findings == ()
