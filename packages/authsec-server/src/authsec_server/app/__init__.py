"""The composition root: it builds the authority from the settings.

A room is a package of the server for one capability (`ARCHITECTURE.md`). Only this package imports every
room.

| module | owns |
|---|---|
| `services` | which objects the rooms get, and from which settings |
| `people` | the objects for the sign-in of administrators |
| `runtime` | clocks, randomness and the wheels of the SDK, which tests replace |
| `routes` | which rooms are served over HTTP; in which room an audit filter looks up a name |
| `console_pages` | the console's routes, which a command does not import |
| `served_address` | the address of the last server, for commands: what proves it |
| `lifecycle` | start and close; the order of middleware; accepted hosts; what runs once a minute |
| `readiness_probe` | when `/readyz` fails: database, clock, lock, sealing (the endpoint itself is in `web/health.py`) |
| `opentelemetry` | export of traces, with the extra `otel` |
| `measured_ages` | ages of the audit log and of the signing keys, for metrics |
| `retention_task`, `retention_process` | when the scheduled retention of the audit log runs; the program of a run |
| `older_database` | detect a database that was restored from a backup; until the restore is recorded, refuse requests |
| `restoration` | record the restore: `authsec admin restored` |
"""

from authsec_server.app.lifecycle import Authority, open_authority, refuse_to_serve
from authsec_server.app.runtime import Runtime
from authsec_server.app.served_address import as_served

__all__ = ["Authority", "Runtime", "as_served", "open_authority", "refuse_to_serve"]
