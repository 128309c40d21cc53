"""Console paths that other modules need.

The request log leaves out requests to `STATIC`. Requests to `ACTIVITY_STREAM` do not extend a session.
"""

from __future__ import annotations

from typing import Final

STATIC: Final = "/console/static/"
ACTIVITY_STREAM: Final = "/console/activity/stream"
