"""Why there is no answer, in words for an operator and safe for logs: no query, no credential, no raw foreign text."""

from __future__ import annotations

from enum import StrEnum


class FailureReason(StrEnum):
    """What went wrong, as code may ask for it."""

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
    """No answer that can be used. `reason` is a stable code; the text names host and path, and what would help."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
