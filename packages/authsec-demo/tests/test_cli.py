"""What `authsec demo` says before it begins, where it cannot."""

from __future__ import annotations

import sys

import pytest
from authsec_demo.cli import demo
from click.testing import CliRunner


def test_without_autogen_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "autogen", None)  # as on Python 3.14, which it does not support
    ended = CliRunner().invoke(demo, ["--exit"])
    assert ended.exit_code == 1
    assert "uv run --python 3.13 authsec demo" in ended.output


def test_a_live_model_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ended = CliRunner().invoke(demo, ["--exit", "--live-model"])
    assert ended.exit_code == 2
    assert "OPENAI_API_KEY" in ended.output
