"""All outgoing HTTP: limits on time and size, no redirects, no private addresses that the settings do not name.

The attack: somebody makes this server fetch a URL of the attacker's choice (server-side request forgery).
Such a request must reach nothing that the attacker could not reach directly. The calling package interprets
the answer. The package `web` handles incoming requests.

| module | owns |
|---|---|
| `ssrf` | which URLs, hosts and addresses are refused; exceptions of the settings |
| `client` | default limits, headers, trusted certificates |
| `transport` | one exchange: connect, also by a proxy; deadline, size of the answer |
| `failure` | the reasons and texts of failures |
"""

from __future__ import annotations

from authsec_server.outbound.client import Outbound, OutboundLimits, outbound_of
from authsec_server.outbound.failure import FailureReason, OutboundFailed
from authsec_server.outbound.ssrf import Policy
from authsec_server.outbound.transport import Answer

__all__ = ["Answer", "FailureReason", "Outbound", "OutboundFailed", "OutboundLimits", "Policy", "outbound_of"]
