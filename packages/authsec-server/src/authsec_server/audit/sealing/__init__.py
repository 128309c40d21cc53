"""The seal on the audit log: a log of event hashes, with signed tree heads as in RFC 9162.

The heads have a signing key of their own.
Raw SQL can change an event, but not the heads that were signed over the event.
`sealer` appends committed events. `verifying` compares a database with its heads, offline.
The package `keys` owns the sealing key.
"""
