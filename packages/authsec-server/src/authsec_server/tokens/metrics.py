"""Prometheus metrics for tokens. Label values come from a fixed set, never from a request."""

from prometheus_client import Counter

ENDED = Counter("authsec_token_requests_total", "Token requests, counted separately for each result.", ["outcome"])
INTROSPECTED = Counter(
    "authsec_introspections_total", "Introspection requests of APIs, counted separately for each answer.", ["answer"]
)
