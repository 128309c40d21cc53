"""Trusted issuers: clusters, trust domains and OpenID Connect issuers, and the keys that verify their tokens.

`attestation` reads the claims about a workload. `clients` contains the proofs that name a trusted issuer.
"""
