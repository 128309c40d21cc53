"""Commands that texts name, and the packages that they come from."""

from __future__ import annotations

import click
import pytest
from authsec.cli import commands
from authsec.terminal import OF_THE_DEMO, OF_THE_SERVER, runnable
from authsec_demo.cli import register as register_demo
from authsec_server.cli import register as register_server


def test_each_command_is_known_to_be_of_its_package() -> None:
    """What is not known is no hint in an environment without that package, and stays `authsec …` in a clone."""
    for register, known in ((register_server, OF_THE_SERVER), (register_demo, OF_THE_DEMO)):
        group = click.Group()
        register(group)
        assert set(group.commands) == known


def test_each_command_in_a_text_is_made_runnable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    for name in commands.list_commands(click.Context(commands)):
        assert runnable(f"See: authsec {name} X, or `authsec {name}`.") == (
            f"See: uv run authsec {name} X, or `uv run authsec {name}`."
        )
    for text in ("uv run authsec agents list", "the realm authsec admins", "authsec server", "/bin/authsec agents"):
        assert runnable(text) == text
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH")
    assert runnable("See: authsec agents list") == "See: authsec agents list"
