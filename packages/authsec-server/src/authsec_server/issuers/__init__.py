"""Trusted issuers: clusters, SPIFFE trust domains and OpenID Connect issuers; and their keys.

What their tokens say of a workload is read in `attestation`; the proofs that name a trusted issuer belong to `clients`.
"""
