"""The one door for outgoing HTTP: limits on time and size, no redirects, no private addresses unless named.

Whoever can make this server fetch an address of their choosing must reach nothing that they could not reach themselves
(server-side request forgery). What an answer means is for the room that asked. What comes in
is the business of `web`.
"""

from __future__ import annotations

from authsec_server.outbound.client import Outbound, OutboundLimits, outbound_of
from authsec_server.outbound.failure import FailureReason, OutboundFailed
from authsec_server.outbound.ssrf import Policy
from authsec_server.outbound.transport import Answer

__all__ = ["Answer", "FailureReason", "Outbound", "OutboundFailed", "OutboundLimits", "Policy", "outbound_of"]
