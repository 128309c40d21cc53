"""Every metric of the server. No label has a value from a client: see docs/observe.md for their meaning.

The supervisor of workers imports this module, so it imports no other package of the server.
"""

from __future__ import annotations

from typing import Final

from authsec_server.metrics.counters import MetricKind, ProcessMetrics

PROCESS: Final = ProcessMetrics()
"""The metrics of this process."""

_MICROSECONDS: Final = 1e-6
_MILLISECONDS: Final = 1e-3
_LATENCIES: Final = (1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000)

READY: Final = PROCESS.gauge(
    "authsec_ready", "1 if all processes of this server are ready for requests, otherwise 0.", MetricKind.LOWEST
)
LIVE: Final = PROCESS.gauge(
    "authsec_live", "0 if a process of this server needs a restart, otherwise 1.", MetricKind.LOWEST
)
WORKERS: Final = PROCESS.gauge(
    "authsec_workers", "Server processes by their status at /readyz.", MetricKind.SUM, ("status",), most=40
)
PROBES: Final = PROCESS.counter(
    "authsec_readiness_probes_total", "Probes of the database by result.", ("result",), most=2
)
RESTARTS: Final = PROCESS.counter("authsec_worker_restarts_total", "Worker processes that ended unexpectedly.")

REQUESTS: Final = PROCESS.histogram(
    "authsec_request_duration_seconds",
    "Time from the head of a request to the head of its response, by route and class of the status.",
    ("route", "status"),
    bounds=_LATENCIES,
    most=1200,
    unit=_MICROSECONDS,
)
IN_FLIGHT: Final = PROCESS.gauge("authsec_requests_in_flight", "Requests in progress.", MetricKind.SUM)
IN_FLIGHT_LIMIT: Final = PROCESS.gauge(
    "authsec_requests_in_flight_limit", "Requests that may be in progress at the same time.", MetricKind.SUM
)
REFUSED: Final = PROCESS.counter(
    "authsec_requests_refused_total", "Requests that were refused before their route was found.", ("reason",), most=10
)

TOKEN_REQUESTS: Final = PROCESS.counter(
    "authsec_token_requests_total", "Token requests by endpoint and decision.", ("door", "outcome"), most=60
)
INTROSPECTED: Final = PROCESS.counter(
    "authsec_introspections_total", "Introspection requests of APIs by answer.", ("answer",), most=10
)
EVIDENCE_FAILURES: Final = PROCESS.counter(
    "authsec_evidence_failures_total",
    "Tokens of workloads that did not prove a client, by the trusted issuer that signed them.",
    ("issuer", "failure"),
    most=200,
)

DATABASE_WAITS: Final = PROCESS.histogram(
    "authsec_database_wait_seconds",
    "Time that transactions on PostgreSQL waited for a connection, and for the authority lock.",
    ("resource",),
    bounds=_LATENCIES,
    most=2,
    unit=_MICROSECONDS,
)
CONNECTIONS: Final = PROCESS.gauge(
    "authsec_database_connections_in_use", "Connections to PostgreSQL in use.", MetricKind.SUM
)
CONNECTIONS_LIMIT: Final = PROCESS.gauge(
    "authsec_database_connections_limit", "Connections to PostgreSQL that may be in use.", MetricKind.SUM
)
DATABASE_FAILURES: Final = PROCESS.counter(
    "authsec_database_failures_total", "Transactions that failed because of the database.", ("fault",), most=20
)
BATCHES: Final = PROCESS.histogram(
    "authsec_batch_requests",
    "Token requests that shared a transaction.",
    ("access",),
    bounds=(1, 2, 4, 8, 16, 32),
    most=2,
)

UNSEALED_AGE: Final = PROCESS.gauge(
    "authsec_audit_unsealed_age_seconds",
    "Age of the oldest event of the audit log without a seal; 0 if all are sealed.",
    MetricKind.HIGHEST_AGE,
)
CHECKPOINT_AGE: Final = PROCESS.gauge(
    "authsec_audit_checkpoint_age_seconds", "Age of the newest checkpoint of the audit log.", MetricKind.LOWEST_AGE
)
CHECKPOINTS_DELIVERED: Final = PROCESS.counter(
    "authsec_audit_checkpoints_delivered_total", "Checkpoints that were sent to the outside destination."
)
CHECKPOINTS_WAITING: Final = PROCESS.gauge(
    "authsec_audit_checkpoints_waiting",
    "Checkpoints that were not yet sent to the outside destination.",
    MetricKind.SUM,
)

RETENTION_FAILED: Final = PROCESS.gauge(
    "authsec_audit_retention_failed",
    "1 if the last run of the scheduled retention failed, otherwise 0.",
    MetricKind.HIGHEST,
)

KEY_AGE: Final = PROCESS.gauge(
    "authsec_signing_key_age_seconds",
    "Time since the active signing key became active, by algorithm.",
    MetricKind.LOWEST_AGE,
    ("algorithm",),
    most=3,
)
KEY_MAX_AGE: Final = PROCESS.gauge(
    "authsec_signing_key_max_age_seconds", "Age at which a signing key is rotated.", MetricKind.HIGHEST
)

FOLLOWERS: Final = PROCESS.gauge("authsec_feed_followers", "Open streams of the revocation feed.", MetricKind.SUM)
FEED_LAG: Final = PROCESS.gauge(
    "authsec_feed_lag_seconds",
    "Time since the revocation feed was last read for its followers; 0 without followers.",
    MetricKind.HIGHEST_AGE,
)

BUILD: Final = PROCESS.gauge(
    "authsec_build_info",
    "1, with the versions of the server, of Python, of the database, and of its schema.",
    MetricKind.HIGHEST,
    ("version", "python", "database", "schema"),
    most=8,
)
