"""What stays as it is, whatever a document leaves out or says: kinds, and what somebody has turned off."""

from __future__ import annotations

from typing import Final

from authsec_server.failures import Invalid

STAYS_OFF: Final = "It is disabled, and stays so: the document does not say `enabled: true`."


def require_kind(held: str, asked: str, *, told: str) -> None:
    """Raises `Invalid` where the kind would be another; `told` says which it is."""
    if held != asked:
        raise Invalid("kind", f"It is {told}, and that is fixed.", "Give the other one another slug.")
