"""deploy/authsec.service: systemd reads it, finds little to restrict further, and its settings exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from authsec_server.settings import Settings
from processes import AUTHSEC

from ..environments import do_without

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "authsec.service"
EXPOSURE = 20  # tenths: systemd calls up to 2.0 "OK", and a unit without restrictions has 9.6


@pytest.fixture(params=["authsec.service", "authsec-console.service"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit by each name of the docs. Its program exists here elsewhere."""
    program = tmp_path / "authsec"
    program.touch(0o755)
    copy = tmp_path / request.param
    copy.write_text(UNIT.read_text("utf-8").replace("/opt/authsec/bin/authsec", str(program)), "utf-8")
    return copy


def analyze(*words: str | Path) -> str:
    program = shutil.which("systemd-analyze") or do_without("systemd-analyze is missing: apt-get install systemd")
    done = subprocess.run([program, "--no-pager", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_reads_the_unit_without_a_complaint(unit: Path) -> None:
    assert analyze("verify", "--man=no", "--recursive-errors=no", unit) == ""


def test_the_unit_is_restricted(unit: Path) -> None:
    told = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", unit)
    assert "Overall exposure level" in told


def test_its_settings_are_settings_and_its_time_to_end_is_enough() -> None:
    text = UNIT.read_text("utf-8")
    names = re.findall(r"^Environment=AUTHSEC_SERVER_(\w+)=", text, re.MULTILINE)
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(seconds) > Settings().drain_seconds + 20


@pytest.mark.soak  # a server that is no fork
@pytest.mark.parametrize("database_option", ["sqlite"], indirect=True)
def test_a_server_issues_tokens_under_the_system_call_filter_of_the_unit(serve: Any) -> None:
    analyze("--version")
    confined = Path(__file__).with_name("confined.py")
    program = (sys.executable, str(confined), str(UNIT), *AUTHSEC)
    its = serve(program=program, AUTHSEC_SERVER_SIGNERS="2", AUTHSEC_SERVER_DRAIN_SECONDS="1")
    agent = its.agent("Helper", keyed=True)
    its.delegate(its.role("Support", "customers:read"), agent, "customers:read")
    assert [its.ask(agent).status_code for _ in range(5)] == [200] * 5
    assert "error" not in its.log.read_text("utf-8")
    assert its.stop() == 0
