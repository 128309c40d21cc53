"""`authsec verify-server`: the same verification for APIs in no Python, asked by the proxy before them.

The proxy sends it what the Authorization header says and hands on its answer: in headers who calls, or a refusal. The
proxy's own configuration says which actions a request needs (`requirement`). The decision is that of `authsec.gate`
(`door`); it is asked over HTTP (`http`) or, by Apache, over FastCGI (`fastcgi`).
"""

from __future__ import annotations
