"""Evidence in, verified selectors out; one module a kind.

Which proofs a client may use is `clients`' knowledge, whose word counts is `issuers`'; what a proved client may do is
none of its business.
"""
