"""SIGTERM ends `authsec serve` in time, whatever hangs in it."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest
from served_process import served

PROGRAM = Path(__file__).with_name("stuck_server.py")


@pytest.mark.parametrize(
    ("what", "number"),
    [
        # test_audit_checkpoints_elsewhere.py ends a server whose thread hangs in a sink
        pytest.param("thread", signal.SIGTERM, marks=pytest.mark.soak),
        pytest.param("loop", signal.SIGTERM, marks=pytest.mark.soak),
        pytest.param("close", signal.SIGTERM, marks=pytest.mark.soak),
        pytest.param("thread", signal.SIGINT, marks=pytest.mark.soak),
    ],
)
def test_a_process_ends_although_something_in_it_hangs(tmp_path: Path, what: str, number: int) -> None:
    program = sys.executable, PROGRAM, what
    with served("sqlite", tmp_path, program=program, AUTHSEC_SERVER_DRAIN_SECONDS="0") as its:
        time.sleep(3)  # the loop is blocked by then
        its.process.send_signal(number)
        assert its.process.wait(20) == 1, "and says that it did not end as it should"
        assert "a task has not finished" in its.log.read_text()


def test_a_process_in_which_nothing_hangs_ends_by_itself(tmp_path: Path) -> None:
    with served("sqlite", tmp_path, AUTHSEC_SERVER_DRAIN_SECONDS="0") as its:
        its.process.send_signal(signal.SIGTERM)
        assert its.process.wait(20) == 0
