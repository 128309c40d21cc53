"""AI agents and MCP servers as clients, and the proofs by which each client authenticates.

`attestation` checks the proofs. `delegations` decides what a client may do.
"""
