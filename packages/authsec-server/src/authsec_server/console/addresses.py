"""Console paths that other modules need, and whether the console works at an address.

The request log leaves out requests to `STATIC`. Requests to `ACTIVITY_STREAM` do not extend a session.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from authsec.config import is_loopback

STATIC: Final = "/console/static/"
ACTIVITY_STREAM: Final = "/console/activity/stream"
SECOND_FACTOR: Final = "/console/account/second-factor"
SECOND_FACTOR_CONFIRM: Final = "/console/account/second-factor/confirm"
# The paths for a person who must turn on a second factor before anything else.
WITHOUT_SECOND_FACTOR: Final = frozenset({SECOND_FACTOR, SECOND_FACTOR_CONFIRM, "/console/sign-out"})
# Without `ENV_PREFIX`: importing the settings takes long, and a command that calls another machine needs no settings.
REMEDY: Final = (
    "Set AUTHSEC_SERVER_PUBLIC_URL to an https:// address. Then set AUTHSEC_SERVER_TLS_CERT and TLS_KEY, or use a "
    "proxy that terminates TLS."
)


def is_plain_http(url: str) -> bool:
    """Return whether others on the network could read requests to this URL. A loopback address is safe."""
    parts = urlsplit(url)
    return parts.scheme != "https" and not is_loopback(parts.hostname or "")
