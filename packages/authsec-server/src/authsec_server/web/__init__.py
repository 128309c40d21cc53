"""Code that all rooms with HTTP share: error responses, request context, strict bodies, limits and paging.

A room is a subpackage of `authsec_server`. This package needs the `Principal` of a request, but does not
authenticate callers. The room `accounts` authenticates callers, and `app` connects both rooms.

| module | owns |
|---|---|
| `request_context` | the caller's network address behind trusted proxies; the network that a rate limit counts |
| `middleware` | request ids, headers, the Host header, a concurrency limit, 503 for an older backup |
| `request_log`, `outages` | the line of each request in the log, with notes of other rooms; one line an outage |
| `traces` | which token requests are traced, and the times of their steps |
| `request_counts` | metrics of requests: by route and status, and those refused before their route was found |
| `uvicorn_protocol` | limits for the size and the time of a request's head; answers without the application |
| `slow_readers` | limits for clients that do not read their answers |
| `operations`, `openapi` | operations of the admin API: role, parameters, body; the OpenAPI document about them |
| `unit_of_work` | one transaction per request; authentication; refusals recorded in the audit log |
| `bodies`, `validation` | read a body: size, time, unknown members; the message for each validation error |
| `paging`, `instants` | query parameters of lists: filters, `limit` and `cursor`; times in JSON |
| `etags` | the entity tag of an object's revision; `If-Match` |
| `dry_run` | dry runs: `?dry_run=1` |
| `errors` | the HTTP status of a failure, and the body of every error |
| `throttle` | the algorithm of rate limits (the numbers are in `settings.py` or in the module that uses a limit) |
| `health` | `/healthz` and `/readyz`: status, body, time limit (the probe is in `app/readiness_probe.py`) |
| `security_txt` | `/.well-known/security.txt` (RFC 9116) |
| `oauth` | HTTP Basic, grants and errors of OAuth endpoints; the authorization endpoint, which refuses every request |
| `oauth_errors` | the form of OAuth errors; the path of the token endpoint, which never answers in another form |
| `sse` | the format of one server-sent event |
"""
