"""The reasons why a request got no usable response.

The texts are for operators. They are safe for logs, because they contain no query, no credential and no raw
text from another server.
"""

from __future__ import annotations

from enum import StrEnum


class FailureReason(StrEnum):
    """The reason for a failure, as a stable code for programs."""

    URL_INVALID = "url_invalid"
    REQUEST_INVALID = "request_invalid"
    HTTP_NOT_ALLOWED = "http_not_allowed"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    UNRESOLVABLE = "unresolvable"
    UNREACHABLE = "unreachable"
    PROXY_FAILED = "proxy_failed"
    CERTIFICATE_UNTRUSTED = "certificate_untrusted"
    TLS_FAILED = "tls_failed"
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    REDIRECT = "redirect"
    TOO_LARGE = "too_large"
    COMPRESSED = "compressed"
    NOT_JSON = "not_json"


class OutboundFailed(Exception):
    """The request got no usable response. `reason` is a stable code; the text has the host, the path and a remedy."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
