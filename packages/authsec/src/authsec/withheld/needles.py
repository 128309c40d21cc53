"""A token as it may stand in a text: as it is sent, or within base64, as in the header of basic authentication.

A JWT has only letters, digits, `-`, `_` and `.`: URLs, JSON, HTML and Python's repr write it as it is.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from functools import cached_property
from typing import Final

REMOVED: Final = "[delegation token removed]"


class Needles:
    """What is looked for."""

    def __init__(self, tokens: Collection[str]) -> None:
        self._tokens = tokens
        self._shortest = min(map(len, tokens), default=0)

    def are_in(self, text: str | bytes | bytearray | memoryview) -> bool:
        if isinstance(text, str):
            return len(text) >= self._shortest and any(form in text for form in self._forms)
        octets = bytes(text)
        return len(octets) >= self._shortest and any(form.encode() in octets for form in self._forms)

    def replaced(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, REMOVED)
        return text

    @cached_property
    def _forms(self) -> list[str]:
        return [*self._tokens, *(form for token in self._tokens for form in _in_base64(token))]


def _in_base64(token: str) -> list[str]:
    """What its three alignments have in common with every text that the token is encoded in, but for the two bytes at
    either end. The alphabet for URLs has the same letters for what is ASCII and in a JWT.
    """
    sent = token.encode()
    return [base64.b64encode(sent[start : start + (len(sent) - start) // 3 * 3]).decode("ascii") for start in range(3)]
