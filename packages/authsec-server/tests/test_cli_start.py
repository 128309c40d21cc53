"""How soon a command can begin: what asks an authority elsewhere does not load one of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("sqlalchemy", "starlette", "authsec_server.app", "authsec_server.settings", "uvicorn")
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


@pytest.mark.parametrize("line", LINES)
def test_nothing_of_the_server_is_loaded_to_ask_one_elsewhere(line: str) -> None:
    program = f"""
import os, sys
os.environ |= {{"AUTHSEC_ADMIN_KEY": "authsec_" + "A" * 43, "AUTHSEC_BASE_URL": "http://127.0.0.1:9"}}
from authsec.cli import commands
try:
    commands({line.split() or ["--help"]})
except SystemExit as ended:
    print(ended.code, [name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{0 if line.endswith('--help') or not line else 5} []", done.stderr
