"""Text from outside, made fit for a message: agents hand exception texts to a model and to a terminal."""

from __future__ import annotations

import re

_LOOKS_LIKE_A_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}(\.[A-Za-z0-9_-]*){0,4}")


def plain(text: str, limit: int) -> str:
    """One line of at most `limit` visible characters, without anything that could be a token.

    Stops terminal escapes, bidirectional overrides and line breaks that forge log lines, floods of text into a
    model's context, and an authority (or somebody before it) that echoes the request's own proof.
    """
    visible = "".join(char if char.isprintable() else " " for char in text[: 8 * limit])
    words = " ".join(_LOOKS_LIKE_A_JWT.sub("[removed]", visible).split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
