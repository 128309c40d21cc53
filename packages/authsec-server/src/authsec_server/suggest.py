"""What may have been meant by a name that nothing has: people mistype, and are told the nearest that there is. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_COMPARED: Final = 130  # characters, as many as any name has that is looked for: comparing takes the product of both


def nearest(text: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """The one that is most like the text; empty where none is at least so like it, from 0 to 1 (the same)."""
    found = get_close_matches(text[:_COMPARED], [*known], n=1, cutoff=likeness)
    return str(found[0]) if found else ""


def told_nearest(text: str, known: Iterable[str], otherwise: str, *, likeness: float = 0.6) -> str:
    """The sentence that says which it is, or what is said where none is like it."""
    found = nearest(text, known, likeness=likeness)
    return f"The nearest is {found}." if found else otherwise
