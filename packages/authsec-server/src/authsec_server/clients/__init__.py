"""AI agents and MCP servers as clients, and the proofs by which each may show that it is itself.

How a proof is checked is `attestation`'s; what a client may do is `delegations`'.
"""
