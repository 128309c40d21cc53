"""The seal on the audit log: a log of event hashes, with signed tree checkpoints as in RFC 9162.

The checkpoints have a signing key of their own.
Raw SQL can change an event, but not the checkpoints that were signed over the event.
`sealer` appends committed events. `verifying` compares a database with its checkpoints, offline.
The package `keys` owns the sealing key.
"""
