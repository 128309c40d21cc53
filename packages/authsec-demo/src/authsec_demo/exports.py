"""Print commands that set environment variables, to paste into a POSIX shell or PowerShell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from authsec_demo.model_server import ModelEndpoint
from authsec_demo.stage import Stage

EXAMPLE: Final = "uv run python examples/autogen_conversation.py"  # works in a clone of the repository


def model_exports(model: ModelEndpoint) -> dict[str, str]:
    """Return the environment variables that the examples need for this model.

    The result is empty for a live model, because the key of a live model is secret.
    """
    if not model.is_scripted:
        return {}
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": model.api_key, "OPENAI_MODEL": model.name}


def show_exports(stage: Stage, variables: Mapping[str, str], *commands: str) -> None:
    """Print the lines that set `variables`, then the commands that read the variables."""
    stage.line()
    stage.note("bash, zsh:")
    for name, value in variables.items():
        stage.copyable(f"export {name}={shlex.quote(value)}")
    for command in commands:
        stage.copyable(command)
    stage.line()
    stage.note("PowerShell:")
    for name, value in variables.items():
        stage.copyable(f"$env:{name} = '{_doubled_quotes(value)}'")
    for command in commands:
        stage.copyable(command)


def _doubled_quotes(value: str) -> str:
    """Double each single quote. A single-quoted PowerShell string has no other escape."""
    return value.replace("'", "''")
