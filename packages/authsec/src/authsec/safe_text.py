"""Cleans text from other systems for messages. Agents pass exception texts to a model and to a terminal."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"eyJ[A-Za-z0-9_-]{5,}(\.[A-Za-z0-9_-]*){0,4}"  # a JWT
    r"|authsec_[A-Za-z0-9_-]{20,}"  # a client secret, an admin key
    # basic authentication: client_id and secret in base64
    r"|\b[Bb]asic [A-Za-z0-9+/]{8,}={0,2}|\b[MNOYZ][A-Za-z0-9+/]{99,}={0,2}"
)


def plain(text: str, limit: int) -> str:
    """Return one line of at most `limit` visible characters, without any text that looks like a token or a secret.

    This stops several attacks: terminal escapes, bidirectional overrides, line breaks that forge log lines, and a
    flood of text in a model's context. An authority, or a proxy in front of it, may echo the proof of the
    request. Such a proof is removed as well.
    """
    visible = "".join(char if char.isprintable() else " " for char in text[: 8 * limit])
    words = " ".join(_SECRET.sub("[removed]", visible).split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
