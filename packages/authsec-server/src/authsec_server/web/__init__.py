"""Code that all rooms with HTTP share: error responses, request context, strict bodies, limits and paging.

The package needs a `Principal` but does not authenticate one: `accounts` does, and `app` connects the two.

| module | owns |
|---|---|
| `request_context` | the caller's network address behind trusted proxies; the network that a rate limit counts |
| `middleware` | request ids, security headers, the request log, Host check, concurrency limit |
| `uvicorn_protocol` | size and time of a request's head |
| `operations`, `openapi` | declare an admin API operation: role, parameters, body; the document made from it |
| `unit_of_work` | one transaction a request; authentication; refusals recorded in the audit log |
| `bodies`, `validation` | read a body: size, time, unknown members; the message for each misfit |
| `params`, `paging`, `instants` | query parameters that filter; `limit` and `cursor`; times in JSON |
| `preconditions`, `etags` | `If-Match`; the tag of an object's revision |
| `dry_run` | `?dry_run=1` |
| `errors` | the HTTP status of a failure, and the body of every error |
| `throttle` | the algorithm of rate limits (the numbers are in `settings.py` or beside their use) |
| `health` | `/healthz` and `/readyz`: status, body, patience (the probe is in `app/readiness_probe.py`) |
| `withheld` | 503 while the database is an older backup |
| `oauth` | HTTP Basic and errors of OAuth endpoints |
| `sse` | one server-sent event |
"""
