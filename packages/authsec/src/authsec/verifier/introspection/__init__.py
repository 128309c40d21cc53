"""Asking the authority about a single token (RFC 7662), for an API that cannot follow its feed of revocations.

`endpoint` puts the question over HTTP, `answers` reads what comes back, `asking` sees that the same is not asked again
and again. Whether it is asked at all is for `authsec.verifier.revocations` to say.
"""
