"""Trust delegations: which role, which actions, for which client, how long.

`roles` defines the actions of a role. `tokens` decides which delegated actions a request gets.
"""
