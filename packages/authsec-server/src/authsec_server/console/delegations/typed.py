"""Parse typed durations and instants, and format stored ones for the form. All functions are pure."""

from __future__ import annotations

from datetime import UTC, datetime

from authsec_server.failures import Invalid

UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
LONGEST_AMOUNT = 9  # digits


def seconds(amount: str, unit: str) -> int:
    """Convert the typed duration to seconds. Raises `Invalid` for the amount or the unit."""
    if unit not in UNITS:
        raise Invalid("amount", "The unit is unknown.", "Choose minutes, hours or days.")
    if not (amount.isascii() and amount.isdigit() and len(amount) <= LONGEST_AMOUNT):
        raise Invalid("amount", "Maximum Duration must be a whole number.", "Start with 1 Hour.")
    return int(amount) * UNITS[unit]


def amount_and_unit(length: int) -> tuple[str, str]:
    """Convert seconds to an amount in the largest unit that needs no fraction: 5400 is 90 minutes."""
    unit = next(unit for unit in ("days", "hours", "minutes", "seconds") if length % UNITS[unit] == 0)
    return str(length // UNITS[unit]), unit


def units_offered(chosen: str) -> list[tuple[str, str]]:
    """Return the units that a person can choose. Seconds are offered only if the delegation already uses seconds."""
    return [(unit, unit.capitalize()) for unit in UNITS if unit != "seconds" or chosen == unit]


def instant(text: str) -> datetime | None:
    """Parse the typed instant as UTC. Return None for an empty text. Raises `Invalid`."""
    if not text:
        return None
    try:
        typed = datetime.fromisoformat(text)
        return typed.replace(tzinfo=UTC) if typed.tzinfo is None else typed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid("ends_at", "This is not a date and time.", "Enter one such as 2027-01-31T18:00.") from None


def shown_instant(end: datetime | None) -> str:
    """Format the instant for its form field, in UTC and to the second."""
    return "" if end is None else f"{end.astimezone(UTC):%Y-%m-%dT%H:%M:%S}".removesuffix(":00")
