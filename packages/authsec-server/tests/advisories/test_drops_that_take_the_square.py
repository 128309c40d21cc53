"""Raw SQL inserts very many events of drops and edits. The time of the check grew with the square of their number."""

from __future__ import annotations

import time
from typing import Any

from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.table_check import TableCheck
from authsec_server.db.table_digests import DIGESTED

AT = "2026-11-25T12:00:00.000000+00:00"
DIGEST = "A" * 43


def seconds(number: int) -> float:
    """The processor time of a comparison of so many drops with as many digests."""
    with TableCheck.opened() as check:
        for each in range(number):
            drop: dict[str, Any] = {"kind": EventKind.EVENTS_DROPPED, "authority_version": 1, "detail": {}, "at": AT}
            check.add(1 + each, drop, lambda _: True, "")
        for each in range(number // len(DIGESTED)):
            digests = {name: [DIGEST, DIGEST] for name in DIGESTED}
            edit = {"kind": EventKind.CLIENT_EDITED, "authority_version": 2, "at": AT, "detail": {"digests": digests}}
            check.add(1 + number + each, edit, lambda _: True, "")
        began = time.process_time()
        list(check.findings(0, 0, []))
        return time.process_time() - began


def test_four_times_as_many_take_some_four_times_as_long() -> None:
    seconds(1000)
    assert seconds(12_000) < 8 * seconds(3000) + 0.5
