"""Somebody plants very many events and rows that nearly match, so that `verify` compares each with each.

A check counts the steps of its private database here: twice as many rows must take about twice as many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest
from authsec_server.audit.scratch_database import scratch_database
from authsec_server.audit.sealing import name_check, revocation_check
from authsec_server.audit.sealing.head_key_check import HeadKeyCheck
from authsec_server.audit.sealing.last_use_check import LastUseCheck
from authsec_server.audit.sealing.name_check import NameCheck
from authsec_server.audit.sealing.revocation_check import RevocationCheck
from authsec_server.audit.sealing.scan import Scan
from authsec_server.audit.sealing.scratch import Scratch
from authsec_server.db import Database, Tx

AT = "2026-11-25T12:00:00.000000+00:00"
CUT = datetime.fromisoformat("2026-08-01T00:00:00+00:00")
FEW, MANY = 400, 800
EVENT: Mapping[str, Any] = {
    "at": AT,
    "authority_version": 5,
    "client_id": "c-1",
    "client_name": "C",
    "kid": "k-1",
    "jti": "",
    "subject_id": "s-1",
    "subject_name": "x",
    "roles": [],
    "delegations": [],
    "detail": {"email": "x"},
}


class Rows(Scan):
    """The tables that somebody has filled."""

    def __init__(self, tx: Tx, number: int, kind: str) -> None:
        super().__init__(tx.connection)
        self._number, self._kind = number, kind

    def ends(self) -> Any:
        for sequence in range(self._number):
            yield sequence, self._kind, "nobody" if self._kind == "client" else "k-1", 5, AT

    def instants(self, name: str, *_: str) -> Any:
        if name in ("admin_keys", "feed_keys"):
            for _each in range(self._number):
                yield "k-1", AT

    def rows(self, name: str, *_: str) -> Any:
        if name in ("administrators", "admin_keys"):
            for number in range(self._number):
                yield f"{name}-{number}", "x"


def _revocations(kind: str, event_kind: str) -> Callable[[Tx, int], int]:
    def steps(tx: Tx, number: int) -> int:
        with closing(scratch_database(*revocation_check._SCRATCH)) as scratch:
            check = RevocationCheck(scratch)
            counted = _counting(scratch)
            for each in range(number):
                event = EVENT | {"kind": event_kind, "at": AT if kind == "client" else AT.replace("12:", "11:")}
                check.add(each, event, lambda _: True, "")
            check.keep(Rows(tx, number, kind))
            assert list(check.findings(CUT, None, None))
            assert not list(check.doubts(CUT, AT))
            return sum(counted)

    return steps


def _names(tx: Tx, number: int) -> int:
    """Events name each administrator and each key: no pair of them is a finding."""
    with closing(scratch_database(*name_check._SCRATCH)) as scratch:
        check = NameCheck(scratch)
        counted = _counting(scratch)
        for each in range(number):
            person = EVENT | {"kind": "administrator.invited", "subject_id": f"administrators-{each}"}
            key = EVENT | {"kind": "admin_key.created", "subject_id": f"admin_keys-{each}"}
            check.add(2 * each, person, lambda _: True, "")
            check.add(2 * each + 1, key, lambda _: True, "")
        check.keep(Rows(tx, number, ""))
        assert list(check.findings(0, 0, all_known=True))
        return sum(counted)


def _copies(check_of: type[HeadKeyCheck | LastUseCheck], kind: str) -> Callable[[Tx, int], int]:
    """On PostgreSQL, the owner of a table drops its primary key, and copies the row of a key."""

    def steps(tx: Tx, number: int) -> int:
        with closing(scratch_database(*check_of.create)) as scratch:
            check = check_of(scratch)
            counted = _counting(scratch)
            for each in range(number):
                at = f"2026-11-25T11:{each // 60:02}:{each % 60:02}.000000+00:00"
                event = EVENT | {"kind": kind, "at": at, "principal_kind": "admin_key", "principal_id": "k-1"}
                check.add(each, event)
            check.keep(Rows(tx, number, ""))
            assert list(check.findings(None))
            return sum(counted)

    return steps


def _seals(_: Tx, number: int) -> int:
    """One event has very many seals, and is listed very many times."""
    with Scratch.opened() as scratch:
        counted = _counting(scratch._database)
        scratch.keep_leaves((each, 5, bytes([each % 2]) * 32) for each in range(number))
        scratch.keep_events([(5, bytes(32), AT, False, True, True, False)])
        scratch.keep_listed((5, b"d-1") for _ in range(number))
        assert list(scratch.listed_wrongly()) == [(5, b"d-1")]
        assert list(scratch.not_listed()) == []
        return sum(counted)


def _counting(scratch: Any) -> list[int]:
    counted: list[int] = []
    scratch.set_progress_handler(lambda: counted.append(100), 100)
    return counted


CHECKS = {
    "revocations of clients": _revocations("client", "client.disabled"),
    "revocations of a key": _revocations("key", "key.revoked"),
    "names of administrators and admin keys": _names,
    "seals of one event": _seals,
    "sign-ins and copies of a key": _copies(LastUseCheck, "admin.sign_in"),
    "ends and copies of a feed key": _copies(HeadKeyCheck, "feed_key.gone"),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_twice_the_rows_take_twice_the_steps(database: Database, check: Callable[[Tx, int], int]) -> None:
    few, many = (database.read(lambda tx, n=n: check(tx, n)) for n in (FEW, MANY))
    assert many < 3 * few
