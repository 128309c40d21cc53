"""What `authsec demo` and `authsec demo-api` say before they begin, where they cannot."""

from __future__ import annotations

import socket
import sys

import pytest
from authsec.cli import commands
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


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = CliRunner().invoke(commands, ["demo-api", "--port", port])
    assert ended.exit_code == 1
    assert f"Cannot listen on 127.0.0.1 port {port}: " in ended.output
    assert "choose another port: --port" in ended.output


@pytest.mark.parametrize("issuer", ["http://authsec.example.com", "authsec"])
def test_what_can_be_no_issuer_is_refused(issuer: str) -> None:
    ended = CliRunner().invoke(commands, ["demo-api", "--port", "0"], env={"AUTHSEC_BASE_URL": issuer})
    assert ended.exit_code == 1
    assert "issuer" in ended.output
