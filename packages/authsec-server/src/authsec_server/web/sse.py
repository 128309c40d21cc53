"""Format server-sent events (HTML Living Standard, section 9.2)."""

from __future__ import annotations


def message(data: str, *, number: int | None = None, kind: str = "") -> str:
    """Format one message of an event stream. Each line of `data` becomes a separate `data:` line.

    Without the prefix, a line break in `data` could end the message.
    """
    head = (f"id: {number}\n" if number is not None else "") + (f"event: {kind}\n" if kind else "")
    return head + "".join(f"data: {line}\n" for line in data.splitlines() or [""]) + "\n"
