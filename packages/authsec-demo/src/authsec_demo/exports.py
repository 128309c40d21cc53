"""Environment variables as lines to paste, for both kinds of shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from authsec_demo.model_server import ModelEndpoint
from authsec_demo.stage import Stage

EXAMPLE: Final = "uv run python examples/autogen_conversation.py"  # in a clone


def model_exports(model: ModelEndpoint) -> dict[str, str]:
    """What the examples read from the environment. Empty for a live model, whose key is a secret."""
    if not model.is_scripted:
        return {}
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": model.api_key, "OPENAI_MODEL": model.name}


def show_exports(stage: Stage, variables: Mapping[str, str], *commands: str) -> None:
    """The lines that set `variables`, then the commands that read them."""
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
    """The only escape in a PowerShell string in single quotes."""
    return value.replace("'", "''")
