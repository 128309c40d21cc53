"""Addresses of the console that others know: who answers them without a page, and who counts them."""

from __future__ import annotations

from typing import Final

STATIC: Final = "/console/static/"
ACTIVITY_STREAM: Final = "/console/activity/stream"
