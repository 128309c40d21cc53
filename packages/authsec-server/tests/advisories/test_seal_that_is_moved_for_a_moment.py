"""Somebody moves a seal to another place while a SIEM copies the log, and puts it back.

The copy would lack the event for ever, or all that come later: the follower goes on behind the last place that it had.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from authsec_server.audit.store import sealed_events
from authsec_server.cli import audit_follow
from authsec_server.cli.transport import CallFailed
from sqlalchemy import update

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_cli_audit_following import Log, log

__all__ = ["log"]  # a fixture


def move(log: Log, place: int, to: int) -> None:
    moved = update(sealed_events).where(sealed_events.c.position == place).values(position=to)
    log.authority.database.append(lambda tx: tx.connection.execute(moved))


@pytest.mark.parametrize("to", [-5, 1_000_007])
def test_its_event_and_all_later_ones_are_printed_once_it_is_back(log: Log, to: int) -> None:
    follower = log.follower()
    assert follower.next()
    had = follower.place
    log.happen(1000, 1001)
    move(log, had + 1, to)
    assert follower.next() == ()
    move(log, to, had + 1)
    assert [each["id"] for each in follower.next()] == [1000, 1001]
    log.happen(1002)
    assert [each["id"] for each in follower.next()] == [1002]


def test_a_follower_ends_with_a_reason_where_it_does_not_come_back(log: Log) -> None:
    follower = log.follower()
    assert follower.next()
    log.happen(1000, 1001)
    move(log, follower.place + 1, -5)
    for _ in range(audit_follow._LOOKS):
        assert follower.next() == ()
    with pytest.raises(CallFailed, match=f"The event at place {follower.place + 1}"):
        follower.next()
