"""Servers that are killed, frozen, cut off, damaged or restored under load keep what docs/reliability.md promises."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from .databases import KINDS, Kind
from .faults import FAULTS, Fault
from .runs import Result, run
from .scene import Over, Scene

NAMED = {fault.name: fault for fault in FAULTS}
BROKEN = str(Path(__file__).with_name("broken_server.py"))


def outcome(request: pytest.FixtureRequest, folder: Path, kind: Kind, names: list[str], **how: Any) -> Result:
    shared = request.getfixturevalue("postgresql_cluster") if kind == "postgresql" else None
    faults = [NAMED[name] for name in names if kind in NAMED[name].kinds]
    how["forks"] = not how.get("long")
    try:
        result = run(faults, kind, folder, shared, **how)
    except PermissionError as error:
        faults = [fault for fault in faults if not fault.own_disk]
        if not faults:
            pytest.skip(str(error))
        result = run(faults, kind, folder, shared, **how)
    print(result)
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_no_promise_breaks_when_a_process_is_killed_or_frozen(
    request: pytest.FixtureRequest, folder: Path, kind: Kind
) -> None:
    names = ["kill", "kill-backend", "kill-postgresql", "freeze", "freeze-change", "freeze-writer"]
    assert outcome(request, folder, kind, names).found == []


def test_no_promise_breaks_when_postgresql_falls_silent(request: pytest.FixtureRequest, folder: Path) -> None:
    assert outcome(request, folder, "postgresql", ["silence", "terminate-silent"]).found == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_promise_breaks_on_a_full_disk_or_when_a_clock_is_hours_off(
    request: pytest.FixtureRequest, folder: Path, kind: Kind
) -> None:
    assert outcome(request, folder, kind, ["full-disk", "clock-behind", "clock-ahead"]).found == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_promise_breaks_when_a_database_is_damaged_or_restored(
    request: pytest.FixtureRequest, folder: Path, kind: Kind
) -> None:
    assert outcome(request, folder, kind, ["damage", "restore"]).found == []


def no_fault(scene: Scene) -> Over:
    """Work, and nothing else."""
    scene.wait_a_moment()
    return Over(begin=0.0, end=0.0, ports=list(scene.its.servers))


@pytest.mark.parametrize(
    ("defect", "invariant"), [("unrecorded", "unrecorded"), pytest.param("disabled", "after", marks=pytest.mark.soak)]
)
def test_a_server_with_a_defect_is_found_out(folder: Path, defect: str, invariant: str) -> None:
    nothing = Fault(name="nothing", what="nothing", inject=no_fault)
    found = run([nothing], "sqlite", folder, None, program=[sys.executable, BROKEN, defect], forks=True).violations
    assert found[invariant] != []


@pytest.mark.soak
@pytest.mark.parametrize(
    ("kind", "name"), [(kind, fault.name) for fault in FAULTS for kind in KINDS if kind in fault.kinds]
)
def test_no_promise_breaks_in_many_rounds(request: pytest.FixtureRequest, folder: Path, kind: Kind, name: str) -> None:
    assert outcome(request, folder, kind, [name], long=True).found == []
