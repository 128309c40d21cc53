"""Parse and format durations as people type them: `90s`, `30m`, `1h`, `7d`. Pure."""

from __future__ import annotations

import re
from typing import Final

_PART: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(s|m|h|d)(?:ec(?:ond)?s?|in(?:ute)?s?|(?:ou)?rs?|ays?)?")
_SPOKEN: Final = re.compile(f"(?:{_PART.pattern}){{1,4}}")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> int | None:
    """Return the duration in seconds; None if the text is not a duration."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def instead_of(text: str) -> str:
    """Return the hint for a text that is not a valid duration: how to write the duration."""
    if text.isascii() and text.isdigit():
        return f"Add a unit: {text}s, {text}m, {text}h or {text}d."
    meant = _meant(text)
    return f"Write {as_typed(meant)}." if meant else "Write 90s, 30m, 1h or 7d."


def _meant(text: str) -> int:
    """Return the seconds of `8 hours`, `1h30m`, `0.5h` or `PT1H`; 0 if the text has another form."""
    plain = text.lower().removeprefix("p").replace(" ", "").removeprefix("t")
    if not _SPOKEN.fullmatch(plain):
        return 0
    return round(sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(plain)))


def as_typed(seconds: int) -> str:
    """Format the duration as a person types it: `1h`, `90s`."""
    unit = next(unit for unit in "dhms" if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"
