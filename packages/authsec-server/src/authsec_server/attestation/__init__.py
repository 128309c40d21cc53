"""Evidence in, verified selectors out; one module a kind.

The proofs of a client belong to `clients`, trusted issuers to `issuers`; what a proved client may do, to `tokens`.
"""
