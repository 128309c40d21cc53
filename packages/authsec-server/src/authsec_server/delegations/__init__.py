"""Trust delegations: which role, which actions, for which client, how long.

The role's actions live in `roles`; what a request gets out of delegations is decided in `tokens`.
"""
