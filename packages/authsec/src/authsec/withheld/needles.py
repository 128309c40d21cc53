"""Tokens as they may stand in a text: as they are sent, or within base64, as in the header of basic authentication.

A JWT has only letters, digits, `-`, `_` and `.`: URLs, JSON, HTML and Python's repr write it as it is.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from functools import cached_property, lru_cache
from typing import Final, Self

from authsec.issued_tokens import PREFIX_LENGTH, live_tokens, prefixes

REMOVED: Final = "[delegation token removed]"


class Needles:
    """What is looked for: these tokens, and all others that clients of this process have now been given."""

    def __init__(self, tokens: Collection[str]) -> None:
        self._given = tokens

    def now(self) -> Self:
        """With those that have been given since."""
        return type(self)(self._given)

    def are_in(self, text: str | bytes | bytearray | memoryview) -> bool:
        if isinstance(text, str):
            return self._may_be_in(text) and any(form in text for form in self._forms)
        octets = bytes(text)
        begun = any(form.encode() in octets for form in self._beginnings)
        return begun and any(form.encode() in octets for form in self._forms)

    def replaced(self, text: str) -> str:
        if self._may_be_in(text):
            for form in self._forms:
                text = text.replace(form, REMOVED)
        return text

    def _may_be_in(self, text: str) -> bool:
        return len(text) >= self._shortest and any(beginning in text for beginning in self._beginnings)

    @cached_property
    def _shortest(self) -> int:
        return min(map(len, self._beginnings), default=0)

    @cached_property
    def _beginnings(self) -> set[str]:
        every = {*(token[:PREFIX_LENGTH] for token in self._given), *prefixes()}
        return {form for beginning in every for form in _begun(beginning)}

    @cached_property
    def _forms(self) -> set[str]:
        return _forms_of({*self._given, *live_tokens()})


@lru_cache(maxsize=64)
def _begun(beginning: str) -> set[str]:
    """Kept, as each call of a tool asks: it is of the header, which tells nothing."""
    return _forms_of([beginning])


def _forms_of(tokens: Collection[str]) -> set[str]:
    return {form for token in tokens for form in (token, *_in_base64(token)) if form}


def _in_base64(token: str) -> list[str]:
    """What its three alignments have in common with every text that the token is encoded in, but for the two bytes at
    either end. The alphabet for URLs has the same letters for what is ASCII and in a JWT.
    """
    sent = token.encode()
    return [base64.b64encode(sent[start : start + (len(sent) - start) // 3 * 3]).decode("ascii") for start in range(3)]
