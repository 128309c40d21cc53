"""`authsec verify-server`: token verification for non-Python APIs, called by the proxy in front of the API.

The proxy sends the request's Authorization header to the server. The server answers with the caller's
identity in headers, or with a refusal, and the proxy passes the answer on.

The proxy's configuration says which actions a request needs. `decision` reads these actions and calls
`authsec.gate`, which makes the statuses and texts of refusals. Most proxies connect over HTTP (`http`);
Apache connects over FastCGI (`fastcgi`). `server` runs both. `command` has the options.
"""

from __future__ import annotations
