"""Delegation tokens for agents: decide about a request, record the decision, sign the token, answer.

`attestation` authenticates the caller. `delegations` and `roles` define the caller's permissions.
"""
