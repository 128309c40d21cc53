"""The seal on the journal: a log of hashes over its events, with heads that a key of its own signs (RFC 9162's trees).

Whoever writes to the database can change an event, but not the heads that were signed over it. `sealer` appends what is
committed, `verifying` compares a database with its heads, offline. The key itself belongs to `keys`.
"""
