"""Trust sources: the clusters, trust domains and issuers whose word counts, and the keys by which it is known.

What their tokens say of a workload is read in `attestation`; the proofs that name a source belong to `clients`.
"""
