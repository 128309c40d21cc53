"""All outgoing HTTP: limits on time and size, no redirects, and only public addresses.

The settings name the private addresses that are allowed. The attack: an attacker makes this server fetch a
URL of the attacker's choice (server-side request forgery). Such a request must not reach any server that
the attacker cannot reach directly. The calling package interprets the response. The package `web` handles
incoming requests.

| module | owns |
|---|---|
| `ssrf` | which URLs, hosts and addresses are refused; exceptions of the settings |
| `client` | default limits, headers, trusted certificates |
| `transport` | one request and its response: connect, also by a proxy; deadline, size of the response |
| `failure` | the reasons and texts of failures |
"""

from __future__ import annotations

from authsec_server.outbound.client import Outbound, OutboundLimits, outbound_of
from authsec_server.outbound.failure import FailureReason, OutboundFailed
from authsec_server.outbound.ssrf import Policy
from authsec_server.outbound.transport import Answer

__all__ = ["Answer", "FailureReason", "Outbound", "OutboundFailed", "OutboundLimits", "Policy", "outbound_of"]
