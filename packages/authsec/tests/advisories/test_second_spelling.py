"""The same octets, spelt otherwise, verify as another token.

Base64 decoders skip foreign characters, take both alphabets, tolerate padding and ignore the bits that are left over.
Then one signature has many spellings, and whoever remembers tokens by their text (a deny list, a replay cache, a log)
does not recognise the next one.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..fake_keys import reason_of, token, verifier_of

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def trailing_bits(part: str) -> str:
    """The same octets with other left-over bits, where there are any."""
    free = {0: 1, 2: 16, 3: 4}[len(part) % 4]
    last = ALPHABET.index(part[-1])
    return part[:-1] + ALPHABET[last ^ (free - 1)] if free > 1 else part + "A"


SPELLINGS: dict[str, Callable[[str], str]] = {
    "padding": lambda part: part + "=" * (-len(part) % 4 or 4),
    "one equals sign": lambda part: part + "=",
    "trailing bits": trailing_bits,
    "line break": lambda part: part[:8] + "\n" + part[8:],
    "space": lambda part: part + " ",
    "foreign character": lambda part: part[:8] + "!" + part[8:],
    "NUL": lambda part: part + "\0",
    "other alphabet": lambda part: part[:4] + "+/" + part[6:],
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_there_is_one_spelling(spelling: str, place: int) -> None:
    parts = token().split(".")
    parts[place] = SPELLINGS[spelling](parts[place])
    assert reason_of(verifier_of(), ".".join(parts)) == "token_malformed"


def test_the_alphabets_are_not_mixed() -> None:
    """A signature is random enough to hold both characters that the alphabets differ in."""
    signed, _, signature = token().rpartition(".")
    translated = signature.replace("-", "+").replace("_", "/")
    assert translated != signature
    assert reason_of(verifier_of(), f"{signed}.{translated}") == "token_malformed"
