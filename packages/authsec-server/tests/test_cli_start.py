"""How soon a command can begin: what asks an authority elsewhere does not load one of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("sqlalchemy", "starlette", "yaml", "authsec_server.app", "authsec_server.settings", "uvicorn")
UNUSED = ("psycopg", "yaml", "alembic", "jinja2", "uvicorn", "authsec_server.audit.sealing.verifying")
LINES = [
    "",
    "agents list",
    "agents show x",
    "issuers list",
    "roles list",
    "apis list",
    "delegations list",
    "keys list",
    "audit list",
    "admin list",
    "admin list-keys",
    "revoke token x",
    "serve --help",
]


def test_nothing_of_the_server_is_loaded_to_ask_one_elsewhere() -> None:
    """One process for all commands: what one loads stays loaded, and is told of those after it as well."""
    program = f"""
import os, sys
os.environ |= {{"AUTHSEC_ADMIN_KEY": "authsec_" + "A" * 43, "AUTHSEC_BASE_URL": "http://127.0.0.1:9"}}
from authsec.cli import commands
for line in {LINES}:
    try:
        commands(line.split() or ["--help"])
    except SystemExit as ended:
        print("ended", line, ended.code, [name for name in {HEAVY} if name in sys.modules], sep="|")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    ended = [line for line in done.stdout.splitlines() if line.startswith("ended|")]
    expected = [f"ended|{line}|{0 if line.endswith('--help') or not line else 5}|[]" for line in LINES]
    assert ended == expected, done.stderr


@pytest.mark.soak
def test_a_command_on_a_sqlite_file_loads_neither_another_driver_nor_pages_nor_checks(
    begun_today: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(begun_today, tmp_path / "data")
    program = f"""
import sys
from authsec.cli import commands
try:
    commands(["agents", "list", "--data", {str(data)!r}])
except SystemExit as ended:
    print("ended", ended.code, [name for name in {UNUSED} if name in sys.modules], sep="|")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "ended|0|[]", done.stderr
