"""Each command in a message starts with `uv run` once, however often the message is rewritten and wrapped."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from authsec.errors import AuthSecError
from authsec.terminal import described, failed, runnable

ROOT = Path(__file__).resolve().parents[1]
TWICE = re.compile(r"uv\s+run\s+uv\s+run")
COMMAND = re.compile(r"\bauthsec [a-z]")


@cache
def texts() -> tuple[str, ...]:
    """Return each text of the code that has a command."""
    return tuple(_texts())


def _texts() -> Iterator[str]:
    for file in sorted(ROOT.glob("packages/*/src/**/*.py")):
        code = file.read_text("utf-8")
        for node in ast.walk(ast.parse(code)) if "authsec" in code else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and COMMAND.search(node.value):
                yield node.value


def test_no_message_starts_a_command_with_uv_run_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    found = texts()
    assert len(found) > 50
    for text in found:
        for before in range(0, 60, 7):  # so that the line ends at each place of the command
            message = f"{'x' * before} {text}"
            shown = runnable(failed(described(AuthSecError(message, reason="refused"))))
            assert not TWICE.search(shown), shown
            assert not TWICE.search(runnable(runnable(message))), message


def test_a_code_that_is_refused_names_the_whole_command() -> None:
    assert any("`authsec agents enrolment AGENT`" in text for text in texts())
