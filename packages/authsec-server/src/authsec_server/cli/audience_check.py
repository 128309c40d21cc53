"""A mistyped API is refused: tokens for an audience that no API has are of use to nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from authsec_server.cli.transport import CallFailed


def may_be_misspelt(audiences: Iterable[str]) -> bool:
    """Whether it is worth a dry run: the server compares a name with slugs of APIs, and no URL."""
    return any("://" not in audience for audience in audiences)


def refuse_misspelt(told: Mapping[str, Any], undone: str) -> None:
    """Raise `CallFailed` where the dry run `told` warns of an audience that is probably a mistake.

    `undone` says that the command has changed nothing.
    """
    warnings = told["would_answer"]["warnings"]
    misspelt = [warning["message"] for warning in warnings if warning["code"] == "audience_misspelt"]
    if misspelt:
        remedy = (
            "Correct the audience, or register the API first: authsec apis create NAME --identifier URL. "
            "If the name is meant as it is: --yes"
        )
        raise CallFailed(f"{' '.join(misspelt)} {undone}", remedy)
