"""Server-sent events (HTML Living Standard, section 9.2): the form of a message."""

from __future__ import annotations


def message(data: str, *, number: int | None = None, kind: str = "") -> str:
    """One message of a stream. Line breaks in the data would end it: each line becomes a `data:` of its own."""
    head = (f"id: {number}\n" if number is not None else "") + (f"event: {kind}\n" if kind else "")
    return head + "".join(f"data: {line}\n" for line in data.splitlines() or [""]) + "\n"
