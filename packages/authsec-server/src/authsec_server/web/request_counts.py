"""Counts of requests by route and class of the status, also of requests that middleware or the protocol answers."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any, Final

from authsec_server.metrics.catalogue import REFUSED, REQUESTS

NO_ROUTE: Final = "(none)"
SUCCESS: Final = "2xx"
_CLASSES: Final = ("1xx", SUCCESS, "3xx", "4xx", "5xx")


class RefusedBefore(StrEnum):
    """Why a request was refused before its route was found. Malformed and oversized heads never reach the application.

    A client that does not read its answer is disconnected, whatever the answer is.
    """

    OVERLOADED = "overloaded"
    HOST_NOT_ALLOWED = "host_not_allowed"
    DATABASE_OLDER = "database_older"
    MALFORMED = "malformed"
    HEAD_TOO_LARGE = "head_too_large"
    HEAD_TOO_SLOW = "head_too_slow"
    ANSWER_NOT_READ = "answer_not_read"


def microseconds_since(began: float) -> int:
    """Return the time since `began` (`time.perf_counter`)."""
    return int((time.perf_counter() - began) * 1e6)


def count_request(route: Any, status: int, began: float) -> None:
    """Count a request. `route` is the one that the router found, or None.

    The label is the template of the route, never the path: every path that a stranger invents would be a new series.
    """
    template = getattr(route, "path", None) or NO_ROUTE
    REQUESTS.of(template, _CLASSES[min(max(status // 100, 1), 5) - 1]).add(microseconds_since(began))


def count_refused(reason: RefusedBefore) -> None:
    """Count a request that was refused before its route was found."""
    REFUSED.of(reason).add()
