"""How durations, ends and lists are typed, and how what is stored is shown to be typed over. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from authsec_server.failures import Invalid

UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
LONGEST_AMOUNT = 9  # digits


def seconds(amount: str, unit: str) -> int:
    """How long that is. Raises `Invalid` for the amount, or for the unit."""
    if unit not in UNITS:
        raise Invalid("amount", "The unit is none of those offered.", "Choose minutes, hours or days.")
    if not (amount.isascii() and amount.isdigit() and len(amount) <= LONGEST_AMOUNT):
        raise Invalid("amount", "Maximum Duration must be a whole number.", "1 Hour is a good beginning.")
    return int(amount) * UNITS[unit]


def amount_and_unit(length: int) -> tuple[str, str]:
    """The same length in the largest unit that fits it exactly: 5400 is 90 minutes."""
    unit = next(unit for unit in ("days", "hours", "minutes", "seconds") if length % UNITS[unit] == 0)
    return str(length // UNITS[unit]), unit


def units_offered(chosen: str) -> list[tuple[str, str]]:
    """The units to choose from. Seconds only where a program has delegated in them."""
    return [(unit, unit.capitalize()) for unit in UNITS if unit != "seconds" or chosen == unit]


def instant(text: str) -> datetime | None:
    """The instant typed, in UTC; None where nothing is. Raises `Invalid`."""
    if not text:
        return None
    try:
        typed = datetime.fromisoformat(text)
        return typed.replace(tzinfo=UTC) if typed.tzinfo is None else typed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid("ends_at", "This is no date and time.", "Such as 2027-01-31T18:00.") from None


def shown_instant(end: datetime | None) -> str:
    """The instant as its field wants it, to the second."""
    return "" if end is None else f"{end.astimezone(UTC):%Y-%m-%dT%H:%M:%S}".removesuffix(":00")
