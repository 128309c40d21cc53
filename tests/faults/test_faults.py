"""Servers that are killed, frozen, cut off, damaged or restored under load keep what docs/reliability.md promises."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from .databases import KINDS, Kind
from .faults import FAULTS, Fault
from .runs import Result, run
from .scene import Over, Scene

NAMED = {fault.name: fault for fault in FAULTS}
# The first run on each database is in CI.
ON_POSTGRESQL = (
    ["kill", "kill-postgresql"],
    ["freeze", "freeze-change", "kill-backend"],
    ["silence", "terminate-silent"],
)
ON_SQLITE = (["freeze-writer", "full-disk"], ["clock-behind", "clock-ahead"], ["damage", "restore"])
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


def _first(runs: Sequence[list[str]], *marks: pytest.MarkDecorator) -> list[Any]:
    """The runs; the first one has these marks."""
    return [
        pytest.param(runs[0], marks=marks),
        *(pytest.param(names, marks=pytest.mark.soak) for names in runs[1:]),
    ]


# Faults are in CI (`.ci/run` sets `CI`) and in long runs. Elsewhere test_crashes.py kills a server on SQLite, and
# test_frozen_server.py freezes one, and test_readiness.py has a full disk.
IN_CI = () if os.environ.get("CI") else (pytest.mark.soak,)


# With `-m soak` each fault once, then in many rounds and on both databases. Restores: test_restore_drill.py.
@pytest.mark.parametrize("names", _first(ON_POSTGRESQL, *IN_CI), ids=" ".join)
def test_no_promise_breaks_on_postgresql(request: pytest.FixtureRequest, folder: Path, names: list[str]) -> None:
    assert outcome(request, folder, "postgresql", names).found == []


@pytest.mark.parametrize("names", _first(ON_SQLITE, *IN_CI), ids=" ".join)
def test_no_promise_breaks_on_sqlite(request: pytest.FixtureRequest, folder: Path, names: list[str]) -> None:
    assert outcome(request, folder, "sqlite", names).found == []


def test_every_fault_has_a_short_run() -> None:
    assert sorted(itertools.chain(*ON_POSTGRESQL, *ON_SQLITE)) == sorted(NAMED)


def no_fault(scene: Scene) -> Over:
    """Work, and nothing else."""
    scene.wait_a_moment()
    return Over(begin=0.0, end=0.0, ports=list(scene.its.servers))


@pytest.mark.soak  # test_invariants.py has each violation found
@pytest.mark.parametrize(
    ("defect", "invariant"), [("unrecorded", "unrecorded"), ("kept", "after"), ("disabled", "after")]
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
