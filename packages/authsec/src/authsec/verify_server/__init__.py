"""`authsec verify-server`: the same verification for non-Python APIs, called by the proxy before them.

The proxy sends the Authorization header, and passes on the answer: the caller in headers, or a refusal. The
proxy's configuration says which actions a request needs. `decision` reads that configuration and calls
`authsec.gate`, which owns statuses and texts of refusals. Proxies connect over HTTP (`http`); Apache connects
over FastCGI (`fastcgi`). `server` runs both. `command` has the options.
"""

from __future__ import annotations
