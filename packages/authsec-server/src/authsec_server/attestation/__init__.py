"""Verify evidence and return the selectors that the evidence proves; one module for each kind of evidence.

`clients` decides which proofs a client may use. Another package manages the trusted issuers. This package
does not decide what a client may do.
"""
