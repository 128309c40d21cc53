"""Trust sources: the clusters, trust domains and issuers whose word counts.

The proofs of `clients` name one; only its table exists so far.
"""
