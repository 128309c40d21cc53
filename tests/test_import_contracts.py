"""Each import contract of the root pyproject.toml holds, and is seen to fail when it is broken.

A contract that cannot fail (a misspelt module, an option that widens too far) looks just like one that is kept. So
the packages are copied, offending imports are planted in the copy, and the contracts must break.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS: dict[str, str] = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
}

# contract, the module that gets one line more, that line
PLANTED = [
    ("packages", "authsec/errors.py", "import authsec_server.failures"),
    ("packages", "authsec_server/settings.py", "import authsec_autogen"),
    ("packages", "authsec_autogen/__init__.py", "import authsec_server.failures"),
    ("packages", "authsec_langchain/__init__.py", "import authsec_autogen"),
    ("packages", "authsec_server/failures.py", "import authsec_demo"),
    ("rooms", "authsec_server/db/schema.py", "import authsec_server.web.errors"),
    ("rooms", "authsec_server/attestation/model.py", "import authsec_server.delegations.model"),
    ("rooms", "authsec_server/clients/service.py", "import authsec_server.tokens.decision"),
    ("rooms", "authsec_server/leftovers.py", "import authsec_server.failures"),
    ("furniture", "authsec_server/revocations/store.py", "import authsec_server.revocations.service"),
    ("stores", "authsec_server/tokens/issue.py", "import authsec_server.clients.store"),
    ("pure", "authsec_server/tokens/decision.py", "import sqlalchemy"),
    ("pure", "authsec_server/clients/model.py", "from time import time"),
    ("pure", "authsec_server/delegations/model.py", "import authsec_server.settings"),
    ("metrics", "authsec_server/metrics/memory.py", "import socket"),
    ("prometheus", "authsec_server/tokens/issue.py", "import prometheus_client"),
    ("opentelemetry", "authsec_server/web/traces.py", "from opentelemetry import trace"),
    ("joserfc", "authsec_server/keys/service.py", "from joserfc.jwk import RSAKey"),
    ("joserfc", "authsec/verifier/keys.py", "import joserfc"),
    ("cycles", "authsec/clock.py", "import authsec.client"),
]


def test_every_contract_is_kept() -> None:
    status, broken = lint(ROOT)
    assert (status, broken) == (0, set())


def test_every_contract_is_broken_once_below() -> None:
    assert {contract for contract, _, _ in PLANTED} == set(CONTRACTS)


def test_imports_that_break_all_contracts_are_caught_together(packages: Path) -> None:
    """The first line of each contract."""
    for module, line in {contract: more for contract, *more in reversed(PLANTED)}.values():
        plant(packages / module, line)
    assert lint(packages) == (1, set(CONTRACTS))


@pytest.mark.soak  # each alone: the others cannot break the contract in its place
@pytest.mark.parametrize(("contract", "module", "line"), PLANTED)
def test_an_import_that_breaks_a_contract_is_caught(contract: str, module: str, line: str, packages: Path) -> None:
    plant(packages / module, line)
    status, broken = lint(packages)
    assert contract in broken
    assert status == 1


def plant(file: Path, line: str) -> None:
    """Write the line at the end of the module."""
    before = file.read_text("utf-8") if file.exists() else ""
    file.write_text(f"{before}\n{line}\n", "utf-8")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with the contracts and a copy of every package, which is imported from there."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ROOT.glob("packages/*/src/*/"):
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def lint(folder: Path) -> tuple[int, set[str]]:
    """The exit status of `lint-imports` in this folder, and the ids of the contracts it calls broken."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    wide = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=folder, env=wide, capture_output=True, text=True, check=False)
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return done.returncode, {key for key, name in CONTRACTS.items() if f"{name} BROKEN" in done.stdout}
