"""`python -m benchmarks` prints what it measured: as a table, as Markdown, or as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.tokens.load import Round
from benchmarks.tokens.measures import Results, Value
from benchmarks.tokens.processes import Spent
from benchmarks.tokens.scenario import Report, Size

ROUND = Round(connections=64, tokens=10, rate=9.5, p50=1.0, p90=2.0, p99=3.0, spent=Spent(loop=0.01), signature=0.0005)
NAMES = ("no proof", "many agents", "many clients and events")


def report(_folder: Path, size: Size, _console: object) -> Report:
    """A report that nobody has measured."""
    value = Value(name="a token", unit="signatures", reference="-", median=2.0, low=1.0, high=3.0, must=1.5, aim=1.35)
    results = Results({name: [ROUND] for name in NAMES}, [12.5])
    return Report(size=size, values=[value], results=results, steps=Results({"1": [ROUND]}), signature=500.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command with these options: what it prints."""

    def run(*options: str) -> str:
        monkeypatch.setattr("sys.argv", ["python -m benchmarks", "--smoke", *options])
        program.main()
        return capsys.readouterr().out

    monkeypatch.setattr(program, "run_all", report)
    monkeypatch.setattr(program.shutil, "which", lambda name: f"/usr/bin/{name}")
    return run


def test_with_json_the_last_line_is_the_whole_result(asked: Callable[..., str], tmp_path: Path) -> None:
    said = json.loads(asked("--json", "--plots", str(tmp_path)).splitlines()[-1])
    assert said["values"][0] | {"median": 2.0, "is_met": False} == said["values"][0]
    assert said["rounds"]["no proof"][0]["ratio"] == 2.0
    assert said["rounds"]["connections: 1"][0]["p99"] == 3.0
    assert said["changes_milliseconds"] == [12.5]
    assert len([*tmp_path.glob("*.svg")]) == 4


@pytest.mark.parametrize("options", [(), ("--markdown",)])
def test_a_table_says_what_missed_its_mark(asked: Callable[..., str], options: tuple[str, ...]) -> None:
    printed = asked(*options)
    assert "not met" in printed
    assert "tokens a second: no proof" in printed
