"""The check for mistyped audiences. A token for an audience without an API is useless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from authsec_server.cli.transport import CallFailed


def may_be_misspelt(audiences: Iterable[str]) -> bool:
    """Whether a dry run is needed. The server compares names with the slugs of APIs, but no URLs."""
    return any("://" not in audience for audience in audiences)


def refuse_misspelt(told: Mapping[str, Any], undone: str) -> None:
    """Raise `CallFailed` if the dry run `told` warns about a misspelt audience.

    `undone` is the sentence that says that the command changed nothing.
    """
    warnings = told["would_answer"]["warnings"]
    misspelt = [warning["message"] for warning in warnings if warning["code"] == "audience_misspelt"]
    if misspelt:
        remedy = (
            "Correct the audience, or register the API first: authsec apis create NAME --identifier URL. "
            "If the name is meant as it is: --yes"
        )
        raise CallFailed(f"{' '.join(misspelt)} {undone}", remedy)
