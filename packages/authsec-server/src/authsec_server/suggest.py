"""Suggest the nearest known name for an unknown name, because people make typing errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_COMPARED: Final = 130  # characters, as long as the longest known name; the rest of a longer text is ignored


def nearest(text: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """Return the known name most similar to `text`, or an empty text below `likeness` (from 0 to 1; 1 is equal)."""
    found = get_close_matches(text[:_COMPARED], [*known], n=1, cutoff=likeness)
    return str(found[0]) if found else ""


def told_nearest(text: str, known: Iterable[str], otherwise: str, *, likeness: float = 0.6) -> str:
    """Return a sentence that names the nearest known name, or `otherwise` if no name is similar."""
    found = nearest(text, known, likeness=likeness)
    return f"The nearest is {found}." if found else otherwise
