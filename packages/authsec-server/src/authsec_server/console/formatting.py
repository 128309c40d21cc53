"""Filters of the templates: format instants, durations and names of kinds. All functions are pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from authsec_server.clients.model import Platform

_FIELD = re.compile(r"[a-z][a-z0-9_.]*")
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))

KINDS = {"ai_agent": "AI Agent", "mcp_server": "MCP Server", "api": "API"}
PLATFORMS = {platform.value: platform.shown for platform in Platform}
PROOFS = {
    "selectors": "Selectors",
    "key_pair": "Key pair",
    "enrolled_key": "Enrolled key",
    "secret": "Client secret",
    "unattested": "Unattested",
}
TONES = {
    "good": "Accepted, Active, Done, Enabled, Follows, Fresh, Granted, Issued, Live, Ready, Working",
    "accent": "Current, Gives more, New, Prepared, Says it follows, You",
    "warn": "Can't authenticate, Client secret, Does not follow, Dormant, Expires soon, Invited, Laptop, No agent, "
    "No delegation, No password yet, Stale, Takes away, Unreadable",
    "bad": "Cannot be fetched, Denied, Failing, Refused, Too old, Unattested",
    "quiet": "Disabled, Ended, Expired, Gone, Not asked yet, Not fetched yet, Off, Pasted, Retired, Revoked",
}
"""The states that pages show, by the tone of their badges."""
_TONE_OF = {word: tone for tone, words in TONES.items() for word in words.split(", ")}


def duration(seconds: float) -> str:
    """Format seconds with at most two units: `3600` as `1 hour`, `5400` as `1 hour 30 minutes`."""
    left = int(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        amount, left = divmod(left, size)
        if amount:
            parts.append(plural(amount, unit))
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 seconds"


def ago(instant: datetime, now: datetime) -> str:
    """Format the time between the instant and `now` in its largest unit: `3 minutes ago`, `in 2 days`, `just now`."""
    seconds = int((now - instant).total_seconds())
    size, unit = next(((size, unit) for size, unit in _UNITS if abs(seconds) >= size), (1, "second"))
    if abs(seconds) < 5:
        return "just now"
    text = plural(abs(seconds) // size, unit)
    return f"{text} ago" if seconds > 0 else f"in {text}"


def of_minute(minute: datetime, now: datetime) -> str:
    """Format the age of an event whose time is known only to the minute: `this minute`, `3 minutes ago`.

    An age below one hour is measured from the end of the minute.
    """
    passed = int((now - minute).total_seconds()) - 60
    if passed < 0:
        return "this minute"
    return ago(minute, now) if passed >= 3600 else f"{plural(max(passed // 60, 1), 'minute')} ago"


def utc(instant: datetime) -> str:
    """Format the exact instant: `2026-11-25 12:00:00 UTC`."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def plural(amount: int, noun: str, nouns: str = "") -> str:
    """Format an amount with its noun: `1 agent`, `3 agents`, `12,000 agents`."""
    return f"{amount:,} {noun if amount == 1 else nouns or noun + 's'}"


def kind(value: str) -> str:
    """Return the name of the kind, as the published walk-through writes it."""
    return KINDS.get(value, value)


def platform(value: str) -> str:
    """Return the platform's name."""
    return PLATFORMS.get(value, value)


def proof(value: str) -> str:
    """Return the name of the kind of proof."""
    return PROOFS.get(value, value)


def tone(word: str) -> str:
    """Return the tone of a state. A state has the same colour on every page. Raises `KeyError` for an unknown state."""
    return _TONE_OF[word]


def said(message: str) -> str:
    """If the message begins with the path of a field, replace the path by the field's label.

    For example, `actions.0.description must …` becomes `Description must …`.
    """
    first, space, rest = message.partition(" ")
    if not _FIELD.fullmatch(first):
        return message
    return f"{first.rpartition('.')[2].replace('_', ' ').capitalize()}{space}{rest}"


def shortened_note(detail: Mapping[str, Any]) -> str:
    """Return a line with the names of the cut members of an event's detail; empty if none was cut."""
    cut = [f"{name.replace('_', ' ')} ({its['length']:,})" for name, its in detail.get("shortened", {}).items()]
    return f"This event was too long. It has only the beginning of: {', '.join(cut)}" if cut else ""


_PART_OF_WORD = 5  # characters


def cut_middle(text: str, most: int, to: int = 0) -> str:
    """Cut a text of more than `most` characters in its middle, to `to` characters: `First part of…last part`.

    Names can differ at their end only. Whole words are preferred. Without `to`, the result has `most` characters.
    """
    if len(text) <= most:
        return text
    length = to or most
    end = len(text) - length * 2 // 5
    end = text.rfind(" ", end - _PART_OF_WORD, end + 1) + 1 or end
    start = length - (len(text) - end) - 1
    start = text.rfind(" ", start - _PART_OF_WORD, start + 1) + 1 or start
    return f"{text[:start].rstrip()}…{text[end:]}"


def listed(items: list[str] | tuple[str, ...], most: int = 3) -> str:
    """Join the first `most` items, and add the number of further items: `a, b, c and 4 more`."""
    shown = ", ".join(items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown
