"""`authsec verify-server`: the same verification for non-Python APIs, asked by the proxy before them.

The proxy sends the Authorization header and passes on the answer: the caller in headers, or a refusal. Its own
configuration says which actions a request needs. `decision` reads that and asks `authsec.gate`; proxies reach it over
HTTP (`http`) or, as Apache does, over FastCGI (`fastcgi`). `server` runs both, `command` has the options.
"""

from __future__ import annotations
