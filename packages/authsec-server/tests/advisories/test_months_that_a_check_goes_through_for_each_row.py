"""Somebody plants events of very many months and very many old revocations, after an honest drop.

Once the check of revocations searched the lowest versions of all months for each row without an event. There may be
events of a hundred thousand months, and any number of rows. So `verify` took hours.

The test counts the calls of Python: twice as many months and rows must take about twice as many.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

from authsec_server.audit.scratch_database import scratch_database
from authsec_server.audit.sealing import revocation_check
from authsec_server.audit.sealing.revocation_check import RevocationCheck

CUT = datetime.fromisoformat("0001-02-01T00:00:00+00:00")
EVENT: dict[str, Any] = {"kind": "client.created", "authority_version": 5, "detail": {}}


class Rows:
    """As a scan reads the planted revocations."""

    def __init__(self, number: int) -> None:
        self._number = number

    def columns(self, name: str) -> tuple[str, ...]:
        return ("sequence",) if name == "revocations" else ()

    def ends(self) -> Iterator[Any]:
        for sequence in range(1, self._number + 1):
            yield sequence, "client", "c", 1, "0001-01-01T00:00:00.000000+00:00"


def calls(number: int) -> int:
    """The number of calls in the check of so many months and rows. Each item of a generator is a call."""
    counted: list[str] = []
    with closing(scratch_database(*revocation_check._SCRATCH)) as scratch:
        check = RevocationCheck(scratch)
        for month in range(number):
            at = f"{month // 12 + 1:04}-{month % 12 + 1:02}-02T00:00:00.000000+00:00"
            check.add(month, EVENT | {"at": at}, lambda _: True, "")
        check.keep(Rows(number))  # type: ignore[arg-type] # of the same form
        before = sys.getprofile()
        sys.setprofile(lambda _, what, __: counted.append(what))
        try:
            list(check._added(CUT, ""))
        finally:
            sys.setprofile(before)
    return counted.count("call")


def test_twice_as_many_months_and_rows_take_about_twice_as_long() -> None:
    few, many = calls(200), calls(400)
    assert many < 3 * few
