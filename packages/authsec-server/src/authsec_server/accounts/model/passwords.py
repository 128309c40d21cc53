"""Which passwords are good enough (NIST SP 800-63B section 3.1.1.2): long, not guessed first, and nothing else asked.

No rule on kinds of characters, no expiry. What a password is never becomes part of a message.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

from authsec_server.failures import Invalid

MIN_PASSWORD = 12
MAX_PASSWORD = 200
MIN_DIFFERENT = 5
MIN_WORD = 3
MIN_OWN = 8  # characters that remain when what is tried first is taken out
ADVICE = "A few words chosen at random do well."
# What lists of leaked passwords are made of: `password1234` is `password` and four characters.
TRIED_FIRST = (
    *("1q2w3e", "1qaz2wsx", "admin", "administrator", "asdfgh", "asdfghjkl", "authsec", "autumn", "changeme"),
    *("correcthorsebatterystaple", "default", "iloveyou", "letmein", "p@ssw0rd", "p@ssword", "passw0rd", "password"),
    *("passwort", "q1w2e3", "qazwsx", "qwerty", "qwertyuiop", "qwertz", "qwertzuiop", "secret", "spring", "summer"),
    *("superuser", "temporary", "trustno1", "welcome", "winter", "zxcvbn", "zxcvbnm"),
)


def entered(typed: str) -> str:
    """What was typed, in the one form in which passwords are hashed and compared (NFC): keyboards differ."""
    return unicodedata.normalize("NFC", typed)


def could_be(password: str) -> bool:
    """Whether this can be anybody's password at all: one too long for the rules is not even hashed."""
    return 0 < len(password) <= MAX_PASSWORD and _writable(password)


def acceptable(typed: str, *, known: Iterable[str]) -> str:
    """The new password, normalised. `known` is what others know of the person: address and name. Raises `Invalid`."""
    password = entered(typed)
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise _refused(f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters", ADVICE)
    if not _writable(password):
        raise _refused("must have visible characters and spaces only", "A line break may have been pasted along.")
    folded = password.casefold()
    if len(set(folded)) < MIN_DIFFERENT or _is_run(folded) or _repeats(folded):
        raise _refused("must not be a plain run or a repetition, such as abcdefghijkl", ADVICE)
    if len(_without(folded, [*TRIED_FIRST, *_words(known)])) < MIN_OWN:
        raise _refused("must be more than your name, your address and words that are tried first", ADVICE)
    return password


def _refused(rule: str, remedy: str) -> Invalid:
    return Invalid("password", f"A password {rule}.", remedy)


def _writable(password: str) -> bool:
    return all(unicodedata.category(char) not in {"Cc", "Cs", "Cn", "Zl", "Zp"} for char in password)


def _is_run(text: str) -> bool:
    """Whether it counts up or down all the way: `abcdefghijkl`, `987654321098`."""
    steps = {_step(first, second) for first, second in pairwise(text)}
    return steps in ({1}, {-1})


def _repeats(text: str) -> bool:
    """Whether it is one part over and over: then it is found in itself, moved by that part."""
    return text in (text + text)[1:-1]


def _step(first: str, second: str) -> int:
    distance = ord(second) - ord(first)
    if first.isdigit() and second.isdigit():
        return {9: -1, -9: 1}.get(distance, distance)  # after 9 comes 0
    return distance


def _words(known: Iterable[str]) -> set[str]:
    """Addresses and names, whole and in parts."""
    words = set()
    for text in map(str.casefold, map(entered, known)):
        words |= {text, text.replace(" ", ""), *re.split(r"[\s@._+-]+", text)}
    return {word for word in words if len(word) >= MIN_WORD}


def _without(folded: str, words: Iterable[str]) -> str:
    """What remains of the password, the longest words taken out first."""
    for word in sorted(words, key=len, reverse=True):
        folded = folded.replace(word, "")
    return folded
